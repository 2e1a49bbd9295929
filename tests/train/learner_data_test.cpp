// SPDX-License-Identifier: BSD-3-Clause
// What a Learner makes of the sources that it is given.

#include <torch/data/dataloader.h>
#include <torch/data/datasets/map.h>
#include <torch/data/datasets/tensor.h>
#include <torch/data/samplers/random.h>
#include <torch/data/samplers/sequential.h>
#include <torch/data/transforms/stack.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <functional>
#include <memory>
#include <set>
#include <thaw/data/in_memory.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/loss.hpp>
#include <thaw/train/loss_dice.hpp>
#include <vector>

#include "support/bench.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::DataSource;

namespace {

namespace samplers = torch::data::samplers;

/// Samples [n, 1] that are their own numbers.
struct NumbersAsSamples : torch::data::datasets::Dataset<NumbersAsSamples> {
  std::size_t n;
  explicit NumbersAsSamples(std::size_t samples) : n(samples) {}
  torch::data::Example<> get(std::size_t i) override {
    return {at::full({1}, static_cast<double>(i), at::kFloat), at::full({1}, static_cast<double>(i), at::kFloat)};
  }
  std::optional<std::size_t> size() const override { return n; }
};

template <class Sampler>
auto numbers_loader(std::size_t samples, std::size_t batch_size, std::size_t workers = 0) {
  return torch::data::make_data_loader<Sampler>(NumbersAsSamples(samples).map(torch::data::transforms::Stack<>()),
                                                torch::data::DataLoaderOptions(batch_size).workers(workers));
}

/// A network that remembers what it has seen as it trained.
struct SeesNumbersImpl : torch::nn::Module {
  SeesNumbersImpl() : head(register_module("head", torch::nn::Linear(1, 1))) {}
  at::Tensor forward(const at::Tensor& x) {
    if (is_training())
      for (std::int64_t i = 0; i < x.size(0); ++i) seen.insert(x[i][0].item<double>());
    return head(x * 0.01);
  }
  torch::nn::Linear head;
  std::multiset<double> seen;
};

struct ChecksNumbers {
  std::shared_ptr<SeesNumbersImpl> net = std::make_shared<SeesNumbersImpl>();
  thaw::Learner learner;
  explicit ChecksNumbers(thaw::LearnerOptions options)
      : learner(net, thaw::LayerGroups::per_child(net), thaw::mse, std::move(options)) {}
};

/// A batch norm that takes the mean over the batch alone.
thaw::Learner normed(thaw::LearnerOptions options) {
  const torch::nn::Sequential net(torch::nn::Linear(1, 4), torch::nn::BatchNorm1d(4), torch::nn::Linear(4, 1));
  return {net, thaw::LayerGroups::cut_at(net, {2}), thaw::mse, std::move(options)};
}

/// Batches that never end.
struct WithoutEnd {
  struct Iterator {
    thaw::Batch same{.input = at::full({2, 1}, 0.5F), .target = at::full({2, 1}, 0.5F)};
    thaw::Batch operator*() const { return same; }
    Iterator& operator++() { return *this; }
    bool operator!=(const Iterator&) const { return true; }
  };
  Iterator begin() { return {}; }
  Iterator end() { return {}; }
};

}  // namespace

TEST_CASE("predict gives all rows in the source's own order, though it shuffles and drops its last batch") {
  struct Same : torch::nn::Module {
    at::Tensor forward(const at::Tensor& x) { return x + 0 * weight; }
    at::Tensor weight = register_parameter("weight", at::full({1}, 0.0));
  };
  const auto same = std::make_shared<Same>();
  thaw::Learner learner(same, thaw::LayerGroups::per_child(same), thaw::mse, {});
  const at::Tensor ten = at::arange(10, at::kFloat).view({10, 1});
  const thaw::InMemory source({.input = ten, .target = ten, .batch_size = 4, .shuffle = true, .drop_last = true});
  CHECK(learner.predict(DataSource(source)).equal(ten));
  CHECK(learner.outputs(DataSource(source))[0].equal(ten));
  CHECK(learner.predict(DataSource(numbers_loader<samplers::SequentialSampler>(10, 4))).equal(ten));
  CHECK_THROWS_MATCHES(learner.predict(DataSource(numbers_loader<samplers::RandomSampler>(10, 4))), thaw::ConfigError,
                       MessageMatches(ContainsSubstring("cannot give every sample in an order of its own")));
}

TEST_CASE("one loader trains and validates, in turns: each epoch sees every sample once") {
  for (const std::size_t workers : {0, 2}) {
    at::manual_seed(4);
    const DataSource source = numbers_loader<samplers::RandomSampler>(40, 4, workers);
    ChecksNumbers run({.train = source, .valid = source});
    run.learner.fit({.epochs = 2, .lr = 1e-3});
    REQUIRE(run.net->seen.size() == 80);
    for (std::int64_t i = 0; i < 40; ++i) CHECK(run.net->seen.count(static_cast<double>(i)) == 2);
    CHECK(run.learner.find_lr({.steps = 12}).lr.size() > 2);
    CHECK(std::isfinite(run.learner.validate(source).loss));
  }
}

TEST_CASE("one loader in two sources is refused before training, and a second pass within an epoch as it begins") {
  const auto says = MessageMatches(ContainsSubstring("a pass over it has begun and not ended"));
  const std::shared_ptr shared = numbers_loader<samplers::RandomSampler>(40, 4);
  ChecksNumbers twice({.train = shared, .valid = shared});
  CHECK_THROWS_MATCHES(twice.learner.fit({.lr = 1e-3}), thaw::ConfigError, says);
  CHECK(twice.net->seen.empty());

  const DataSource source = numbers_loader<samplers::RandomSampler>(40, 4);
  struct Looks {
    DataSource source;
    void on_step_end(const thaw::StepEnd& event) {
      if (event.step == 1) (void)event.learner.validate(source);
    }
  };
  ChecksNumbers run({.train = source});
  CHECK_THROWS_MATCHES(run.learner.fit({.lr = 1e-3}, Looks{source}), thaw::ConfigError, says);
  run.net->seen.clear();
  run.learner.fit({.lr = 1e-3});  // and the Learner goes on
  CHECK(run.net->seen.size() == 40);
}

TEST_CASE("an epoch and a validation end where an endless source was said to end") {
  const DataSource five(WithoutEnd{}, 5);
  ChecksNumbers run({.train = five, .valid = five});
  run.learner.fit({.epochs = 2, .lr = 1e-3});
  CHECK(run.learner.history().steps.size() == 10);
  CHECK(run.learner.find_lr({.steps = 12}).lr.size() > 2);
  CHECK(std::isfinite(run.learner.validate().loss));
}

TEST_CASE("a source with other numbers of batches than it says ends the epoch with an error that counts them") {
  struct Changes {
    std::int64_t first, later;
    [[nodiscard]] std::int64_t batches() const { return first; }
    [[nodiscard]] thaw::BatchStream stream(std::int64_t epoch) const {
      return [left = epoch == 0 ? first : later]() mutable -> std::optional<thaw::Batch> {
        if (left-- <= 0) return std::nullopt;
        return thaw::Batch{.input = at::full({2, 1}, 0.5F), .target = at::full({2, 1}, 0.5F)};
      };
    }
  };
  const auto says = [](const std::string& text) { return MessageMatches(ContainsSubstring(text)); };
  for (const bool more : {false, true}) {
    ChecksNumbers run({.train = Changes{3, more ? 5 : 2}});
    CHECK_THROWS_MATCHES(
        run.learner.fit({.epochs = 3, .lr = 1e-3}), thaw::DataError,
        says(more ? "a pass gave more batches, and 3 were expected" : "a pass gave 2 batches, and 3 were expected"));
  }
  struct Once {
    std::shared_ptr<int> passes = std::make_shared<int>(0);
    [[nodiscard]] std::int64_t batches() const { return 1; }
    [[nodiscard]] thaw::BatchStream stream(std::int64_t) const {
      return [left = (*passes)++ == 0]() mutable -> std::optional<thaw::Batch> {
        if (!std::exchange(left, false)) return std::nullopt;
        return thaw::Batch{.input = at::full({2, 1}, 0.5F), .target = at::full({2, 1}, 0.5F)};
      };
    }
  };
  ChecksNumbers run({.train = Changes{1, 1}});
  const DataSource once = Once{};
  CHECK(std::isfinite(run.learner.validate(once).loss));
  CHECK_THROWS_MATCHES(run.learner.validate(once), thaw::DataError, says("a pass over it gives no batches"));
}

TEST_CASE("a last batch of one sample is refused before the first step, whatever gives it, by find_lr too") {
  const auto some = [](std::int64_t n) { return thaw::Batch{.input = at::randn({n, 1}), .target = at::randn({n, 1})}; };
  const std::vector batches{some(8), some(8), some(1)};
  const at::Tensor all = at::randn({17, 1});
  const std::vector<std::function<DataSource()>> sources{
      [&] { return DataSource(numbers_loader<samplers::SequentialSampler>(17, 8)); },
      [&] { return DataSource(numbers_loader<samplers::RandomSampler>(17, 8, 2)); },
      [&] { return DataSource(batches); },
      [&] {
        return DataSource(std::vector{batches[2], batches[0]});
      },
      [&] {
        return DataSource::from(std::vector<std::size_t>{0, 1, 2}, [&](std::size_t j) { return batches[j]; });
      },
      [&] { return DataSource(thaw::InMemory({.input = all, .target = all, .batch_size = 8})); }};
  struct CountsSteps {
    int* steps;
    void on_gradients_ready(const thaw::GradientsReady&) { ++*steps; }
  };
  const auto says = MessageMatches(ContainsSubstring("a batch of 1 sample is too few for a batch norm that trains"));
  for (std::size_t i = 0; i < sources.size(); ++i) {
    CAPTURE(i);
    thaw::Learner learner = normed({.train = sources[i]()});
    CHECK_THROWS_MATCHES(learner.fit({.lr = 1e-3}), thaw::DataError, says);
    CHECK(learner.history().steps.empty());
    int swept = 0;
    CHECK_THROWS_MATCHES(learner.find_lr({}, CountsSteps{&swept}), thaw::DataError, says);
    CHECK(swept == 0);
    if (i != 3) CHECK(learner.find_lr({.steps = 2}).lr.size() == 2);  // it does not come that far
    learner.fit({.epochs = 1, .freeze = thaw::Unfrozen{}, .lr = 1e-3, .norm = thaw::hold_everywhere});
    CHECK(learner.history().steps.size() == (i == 3 ? 2 : 3));
  }
}

TEST_CASE("masks of 0 and 255 for two classes are refused before training, whatever the loss ignores") {
  torch::nn::Sequential net(torch::nn::Conv2d(1, 2, 1));
  const auto refuses = [&](const at::Tensor& masks) {
    thaw::Learner learner(net, thaw::LayerGroups::per_child(net), thaw::DiceCrossEntropy{},
                          {.train = thaw::InMemory({.input = at::randn({4, 1, 3, 3}), .target = masks})});
    try {
      learner.fit({.epochs = 1});
    } catch (const thaw::DataError& error) {
      CHECK_THAT(error.what(),
                 ContainsSubstring("training data: its masks are of 0 and 255") && ContainsSubstring("masks.eq(255)"));
      return true;
    }
    return false;
  };
  at::Tensor masks = at::full({4, 3, 3}, 0, at::kLong);
  CHECK_FALSE(refuses(masks));
  masks[2].fill_(255);
  CHECK(refuses(masks));
  masks[3].fill_(1);  // 255 is what counts for no class
  CHECK_FALSE(refuses(masks));
  CHECK_FALSE(refuses(masks.eq(255).to(at::kLong)));

  masks[3].fill_(0);  // a source that cannot tell all its targets
  const std::vector<thaw::Batch> loader{{.input = at::randn({4, 1, 3, 3}), .target = masks}};
  thaw::Learner learner(net, thaw::LayerGroups::per_child(net), thaw::DiceCrossEntropy{}, {.train = loader});
  CHECK_THROWS_MATCHES(learner.fit({.epochs = 1}), thaw::DataError,
                       MessageMatches(ContainsSubstring("its masks are of 0 and 255")));
}
