// SPDX-License-Identifier: BSD-3-Clause
// Stage::cache: what a frozen part gives is kept, and nothing else changes.

#include <thaw/train/cache.hpp>

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>

#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <filesystem>
#include <functional>
#include <thaw/data/in_memory.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/loss.hpp>
#include <thaw/train/metric.hpp>
#include <thaw/train/mixup.hpp>

#include "support/folder.hpp"
#include "support/nets.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::Cache;

namespace {

struct Counter {
  int training = 0, evaluation = 0;
};

/// A convolution that counts the batches it saw.
struct CountedImpl : torch::nn::Module {
  explicit CountedImpl(std::shared_ptr<Counter> counter_) : counter(std::move(counter_)) {
    conv = register_module("conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 6, 3).padding(1)));
  }
  at::Tensor forward(const at::Tensor& x) {
    ++(is_training() ? counter->training : counter->evaluation);
    return conv(x);
  }
  std::shared_ptr<Counter> counter;
  torch::nn::Conv2d conv{nullptr};
};
TORCH_MODULE(Counted);

struct Options {
  bool shuffle = false, dropout_in_body = false, plain_norm = false;
  std::function<thaw::Fields(const thaw::Fields&)> transform = {};
};

/// Conv, norm, ReLU in place, conv | the rest, with dropout, a ReLU in place, norm; images of two classes.
struct Setup {
  explicit Setup(Options options = {}) {
    at::manual_seed(3);
    net = torch::nn::Sequential(
        Counted(counter),
        torch::nn::BatchNorm2d(torch::nn::BatchNorm2dOptions(6).track_running_stats(!options.plain_norm)),
        torch::nn::ReLU(torch::nn::ReLUOptions(true)), torch::nn::Conv2d(6, 8, 3),
        torch::nn::Dropout(options.dropout_in_body ? 0.5 : 0), torch::nn::ReLU(torch::nn::ReLUOptions(true)),
        torch::nn::AdaptiveAvgPool2d(1), torch::nn::Flatten(), torch::nn::BatchNorm1d(8), torch::nn::Dropout(0.3),
        torch::nn::Linear(8, 2));
    const at::Tensor target = at::randint(2, {36}, at::kLong);
    const at::Tensor input = at::randn({36, 3, 8, 8}) + target.view({-1, 1, 1, 1});
    data = {.input = input, .target = target, .batch_size = 8, .shuffle = options.shuffle};
    data.transform = options.transform;
    learner = std::make_unique<thaw::Learner>(
        net, thaw::LayerGroups::cut_at(net, {4}), thaw::cross_entropy,
        thaw::LearnerOptions{.train = thaw::InMemory(data),
                             .valid = thaw::InMemory({.input = input, .target = target, .batch_size = 12}),
                             .metrics = {thaw::accuracy()}});
  }

  thaw::EpochRecord fit(Cache cache, std::int64_t epochs = 4) {
    at::manual_seed(11);  // dropout of the head
    return learner->fit({.name = "head", .epochs = epochs, .freeze = thaw::FreezeTo{-1}, .lr = 1e-2, .cache = cache});
  }

  std::shared_ptr<Counter> counter = std::make_shared<Counter>();
  torch::nn::Sequential net{nullptr};
  thaw::InMemoryOptions data;
  std::unique_ptr<thaw::Learner> learner;
};

/// Its parts leave out the ReLU that its forward has.
struct OtherPartsImpl : torch::nn::Module {
  torch::nn::Linear body{register_module("body", torch::nn::Linear(4, 5))};
  torch::nn::Linear head{register_module("head", torch::nn::Linear(5, 3))};
  at::Tensor forward(const at::Tensor& x) { return head(body(x).relu()); }
  std::vector<thaw::ForwardPart> forward_parts() { return {{"body", body}, {"head", head}}; }
};
TORCH_MODULE(OtherParts);

/// A Learner of a net from 4 numbers to 3 classes, whose groups are cut before its head.
template <class Net>
thaw::Learner learner_of_rows(const Net& net) {
  return {net,
          thaw::LayerGroups::cut_before(net, {"head"}),
          thaw::cross_entropy,
          {.train = thaw::InMemory({.input = at::randn({16, 4}), .target = at::randint(3, {16}, at::kLong)})}};
}

/// Everything that a run leaves behind.
void check_equal(const Setup& a, const Setup& b) {
  CHECK(thaw::test::same_state(thaw::test::state_of(*a.net), *b.net));
  const thaw::History &x = a.learner->history(), &y = b.learner->history();
  REQUIRE(x.steps.size() == y.steps.size());
  for (std::size_t i = 0; i < x.steps.size(); ++i) CHECK(x.steps[i].loss == y.steps[i].loss);
  REQUIRE(x.epochs.size() == y.epochs.size());
  for (std::size_t i = 0; i < x.epochs.size(); ++i) {
    CHECK(x.epochs[i].train_loss == y.epochs[i].train_loss);
    CHECK(x.epochs[i].valid->loss == y.epochs[i].valid->loss);
    CHECK(x.epochs[i].valid->metrics[0].value == y.epochs[i].valid->metrics[0].value);
  }
}

}  // namespace

TEST_CASE("a cached stage gives bit for bit what the whole model gives, in memory and on disk") {
  for (const Cache& cache : {Cache::memory, Cache::disk}) {
    Setup plain, cached;
    plain.fit({});
    const int before = cached.counter->training;
    cached.fit(cache);
    check_equal(plain, cached);
    // 5 training batches once, plus trying parts and layouts; the plain run has 5 in each of 4 epochs
    CHECK(cached.counter->training - before <= 10);
    CHECK(plain.counter->training >= 20);
    CHECK(cached.counter->evaluation < plain.counter->evaluation);
    CHECK_THAT(cached.learner->history().stages[0].frozen_part,
               ContainsSubstring("up to '7'") && ContainsSubstring("'8' trains"));
    CHECK(plain.learner->history().stages[0].frozen_part.empty());

    // The next stage trains the whole model again, as if nothing had been kept.
    for (Setup* each : {&plain, &cached}) {
      at::manual_seed(12);
      each->learner->fit({.epochs = 1, .freeze = thaw::Unfrozen{}, .lr = 1e-3});
    }
    check_equal(plain, cached);
  }
}

TEST_CASE("a cached stage with shuffled batches sees the same samples in the same order") {
  Setup plain({.shuffle = true}), cached({.shuffle = true});
  plain.fit({});
  cached.fit(Cache::memory);
  const auto before = thaw::test::state_of(*plain.net);
  for (const auto& [name, tensor] : thaw::test::state_of(*cached.net)) {
    CAPTURE(name);  // in other batches a convolution may round otherwise
    CHECK(at::allclose(tensor.to(at::kDouble), before.at(name).to(at::kDouble), 1e-4, 1e-5));
  }
}

TEST_CASE("what is kept follows the weights when somebody changes them") {
  Setup plain, cached;
  struct Change {
    Setup* setup;
    void on_epoch_end(const thaw::EpochEnd& event) const {
      if (event.record.epoch != 2) return;
      const c10::NoGradGuard no_grad;
      setup->net->parameters()[0].mul_(0.5);
    }
  };
  for (const auto& [setup, cache] : {std::pair(&plain, Cache{}), std::pair(&cached, Cache::memory)}) {
    at::manual_seed(11);
    setup->learner->fit({.epochs = 4, .freeze = thaw::FreezeTo{-1}, .lr = 1e-2, .cache = cache}, Change{setup});
  }
  check_equal(plain, cached);
}

TEST_CASE("the kept part ends before what draws random numbers") {
  Setup plain({.dropout_in_body = true}), cached({.dropout_in_body = true});
  plain.fit({});
  cached.fit(Cache::memory);
  check_equal(plain, cached);
  CHECK_THAT(cached.learner->history().stages[0].frozen_part,
             ContainsSubstring("up to '3'") && ContainsSubstring("'4' draws random numbers"));
}

TEST_CASE("augmented data is kept in so many passes, when asked") {
  const auto noise = [](const thaw::Fields& x) -> thaw::Fields {
    return x.map([](const at::Tensor& tensor) { return tensor + 0.1 * at::randn_like(tensor); });
  };
  Setup refused({.transform = noise});
  const auto before = thaw::test::state_of(*refused.net);
  CHECK_THROWS_MATCHES(refused.fit(Cache::memory), thaw::ConfigError, MessageMatches(ContainsSubstring("augmented")));
  CHECK(thaw::test::same_state(before, *refused.net));

  Setup kept({.transform = noise});
  const int seen = kept.counter->training;
  kept.fit({.where = Cache::Where::memory, .passes = 2}, 6);
  CHECK(kept.counter->training - seen < 16);  // two passes of 5 batches, plus trying parts
  const auto& epochs = kept.learner->history().epochs;
  CHECK(epochs.size() == 6);
}

TEST_CASE("a source that gives nothing in order is refused, where augmentation is looked for") {
  struct Silent : thaw::InMemory {
    using InMemory::InMemory;
    [[nodiscard]] thaw::BatchStream in_order() const {
      return [] { return std::optional<thaw::Batch>(); };
    }
  };
  Setup setup;
  thaw::Learner learner(setup.net, thaw::LayerGroups::cut_at(setup.net, {4}), thaw::cross_entropy,
                        {.train = Silent(setup.data)});
  const thaw::Stage stage{.freeze = thaw::FreezeTo{-1}, .lr = 1e-2, .cache = Cache::memory};
  CHECK_THROWS_MATCHES(learner.fit(stage), thaw::DataError, MessageMatches(ContainsSubstring("gives no batch")));
}

TEST_CASE("a source that gives fewer or more samples than it says is refused, before anything trains") {
  struct Miscounted : thaw::InMemory {
    std::int64_t more;
    Miscounted(const thaw::InMemory& data, std::int64_t more_) : InMemory(data), more(more_) {}
    [[nodiscard]] std::int64_t samples() const { return InMemory::samples() + more; }
  };
  const std::int64_t more = GENERATE(4, -4);
  Setup setup;
  thaw::Learner learner(setup.net, thaw::LayerGroups::cut_at(setup.net, {4}), thaw::cross_entropy,
                        {.train = Miscounted(thaw::InMemory(setup.data), more)});
  const auto before = thaw::test::state_of(*setup.net);
  CHECK_THROWS_MATCHES(
      learner.fit({.freeze = thaw::FreezeTo{-1}, .lr = 1e-2, .cache = Cache::memory}), thaw::DataError,
      MessageMatches(ContainsSubstring("the source says " + std::to_string(36 + more) + " samples and gives 36") &&
                     ContainsSubstring("let its in_order() give each sample once")));
  CHECK(thaw::test::same_state(before, *setup.net));
  CHECK(learner.history().steps.empty());
}

TEST_CASE("a model without parts, or with other parts than its forward, is refused, or trained as a whole") {
  const auto refuses = [](const auto& net, const std::string& why, const std::string& fix) {
    thaw::Learner learner = learner_of_rows(net);
    thaw::Stage stage{.name = "head", .freeze = thaw::FreezeTo{-1}, .lr = 1e-2, .cache = Cache::memory};
    const auto before = thaw::test::state_of(*net);
    CHECK_THROWS_MATCHES(learner.fit(stage), thaw::ConfigError,
                         MessageMatches(ContainsSubstring(why) && ContainsSubstring(fix)));
    CHECK(thaw::test::same_state(before, *net));
    CHECK(learner.history().steps.empty());
    stage.cache.required = false;
    learner.fit(stage);
    CHECK_THAT(learner.history().stages.back().frozen_part, ContainsSubstring("as the rest") && ContainsSubstring(why));
    CHECK(learner.history().steps.size() == 1);
    CHECK(thaw::test::any_starts_with(thaw::test::changed(before, *net), "head"));
  };
  refuses(thaw::test::TinyNet(3, /*norm=*/false), "stage \"head\", cache: the model cannot be run in parts",
          "give it forward_parts()");
  refuses(OtherParts(), "model: its forward_parts() do not give what its forward gives",
          "let them do the same, one after the other");
}

TEST_CASE("what cannot be kept is refused before anything trains, or done without") {
  const auto refuses = [](Setup& setup, const thaw::Stage& stage, const std::string& why) {
    const auto before = thaw::test::state_of(*setup.net);
    CHECK_THROWS_MATCHES(setup.learner->fit(stage), thaw::ConfigError, MessageMatches(ContainsSubstring(why)));
    CHECK(thaw::test::same_state(before, *setup.net));
    CHECK(setup.learner->history().steps.empty());

    thaw::Stage optional = stage;
    optional.cache.required = false;
    if (optional.cache.passes > 0) {
      setup.learner->fit(optional);
      CHECK_THAT(setup.learner->history().stages.back().frozen_part, ContainsSubstring("as the rest"));
      CHECK(setup.learner->history().steps.size() == 5);
    }
  };
  const thaw::Stage head{.freeze = thaw::FreezeTo{-1}, .cache = Cache::memory};
  SECTION("nothing is frozen") {
    Setup setup;
    refuses(setup, {.freeze = thaw::Unfrozen{}, .cache = Cache::memory}, "'0', the first part, trains");
  }
  SECTION("frozen for a while only") {
    Setup setup;
    thaw::Stage stage = head;
    stage.freeze = [](const thaw::GroupRef& group, const thaw::Progress& at) {
      return group.index == 0 && at.step < 3;
    };
    refuses(setup, stage, "the first part, trains");
  }
  SECTION("over the limit") {
    Setup setup;
    thaw::Stage stage = head;
    stage.cache.limit = 1000;
    refuses(setup, stage, "the limit is");
  }
  SECTION("no pass") {
    Setup setup;
    thaw::Stage stage = head;
    stage.cache.passes = 0;
    refuses(setup, stage, "0 passes");
  }
  SECTION("a source that does not number its samples") {
    Setup setup;
    std::vector<thaw::Batch> batches;
    thaw::BatchStream next = thaw::InMemory(setup.data).stream(0);
    while (auto batch = next()) batches.push_back(*batch);
    setup.learner->data({.train = batches});
    refuses(setup, head, "does not number its samples");
  }
  SECTION("a norm that looks at the whole batch") {
    Setup setup({.plain_norm = true});
    refuses(setup, head, "depends on the rest of its batch");
  }
}

TEST_CASE("a callback that changes the inputs is refused in a cached stage") {
  Setup setup;
  CHECK_THROWS_MATCHES(setup.learner->fit({.freeze = thaw::FreezeTo{-1}, .cache = Cache::memory}, thaw::MixUp{}),
                       thaw::ConfigError, MessageMatches(ContainsSubstring("a callback changes the inputs")));
}

TEST_CASE("a disk without room is an error that names the folder, and no file stays") {
  const thaw::test::Folder folder;
  Setup setup;
  Cache cache = Cache::disk;
  cache.directory = folder.path;
  setup.fit(cache, 1);
  CHECK(std::filesystem::is_empty(folder.path));
  cache.directory = folder / "missing";
  CHECK_THROWS_MATCHES(setup.fit(cache, 1), thaw::FileError, MessageMatches(ContainsSubstring("missing")));
}
