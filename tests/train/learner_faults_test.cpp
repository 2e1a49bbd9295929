// SPDX-License-Identifier: BSD-3-Clause
// What a Learner is left with when something goes wrong, or works in place.

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thaw/groups/gradual_unfreeze.hpp>
#include <thaw/train/gradient_accumulation.hpp>
#include <thaw/train/learner.hpp>
#include <vector>

#include "support/bench.hpp"
#include "support/folder.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::test::Bench;

namespace {

/// Batches for so many passes, then none, as from a pipe.
struct DriesUp : thaw::InMemory {
  DriesUp(const thaw::InMemory& source, std::int64_t passes)
      : InMemory(source), left(std::make_shared<std::int64_t>(passes)) {}
  [[nodiscard]] thaw::BatchStream stream(std::int64_t epoch) const {
    if ((*left)-- > 0) return InMemory::stream(epoch);
    return [] { return std::optional<thaw::Batch>(); };
  }
  std::shared_ptr<std::int64_t> left;
};

/// What is said about sources that dry up after 0, 1, 2, ... passes, until one lasts as long as it is needed.
std::vector<std::string> complaints(thaw::Learner& learner, const thaw::InMemory& data,
                                    const std::function<void()>& use) {
  std::vector<std::string> all;
  for (std::int64_t passes = 0;; ++passes) try {
      REQUIRE(passes < 20);
      learner.data({.train = DriesUp(data, passes)});
      use();
      return all;
    } catch (const thaw::DataError& error) {
      all.emplace_back(error.what());
    }
}

}  // namespace

TEST_CASE("a stage that a callback stops as it begins trains nothing, and spoils no other record") {
  struct Stop {
    void on_stage_begin(const thaw::StageBegin& event) const { event.learner.stop("out of time"); }
  };
  Bench bench;
  const thaw::EpochRecord none = bench.learner->fit({.name = "first"}, Stop{});
  CHECK(none.stop == "out of time");
  CHECK(none.stage == "first");
  CHECK(bench.learner->history().epochs.empty());
  bench.learner->fit({});
  bench.learner->fit({}, Stop{});
  CHECK(bench.learner->history().epochs.size() == 1);
  CHECK(bench.learner->history().epochs[0].stop.empty());
}

TEST_CASE("gradients that a failed step left do not reach the next one") {
  Bench a, b;
  struct Fail {
    int* batches;
    void on_batch_ready(const thaw::BatchReady&) const {
      if (++*batches == 3) throw std::runtime_error("no memory");
    }
  };
  int batches = 0;
  CHECK_THROWS_AS(a.learner->fit({.lr = 1e-12}, Fail{&batches}, thaw::GradientAccumulation{4}), std::runtime_error);
  for (Bench* each : {&a, &b}) {
    each->learner->data({.train = each->data(8)});
    thaw::forget_state(each->learner->optimizer());
    each->learner->fit({.lr = 1e-2});
  }
  CHECK(thaw::test::same_state(thaw::test::state_of(*a.net), *b.net));
}

TEST_CASE("a model that works in place does not change the data") {
  Bench bench;
  const at::Tensor before = bench.input.clone();
  struct InPlace {
    void on_batch_ready(const thaw::BatchReady& event) const {
      at::Tensor input = event.batch.input;
      input.mul_(2);
    }
  };
  bench.learner->fit({}, InPlace{});
  CHECK(bench.input.equal(before));
}

TEST_CASE("load leaves no state that the file does not have, and nothing half loaded") {
  Bench bench({.sgd = false});
  const thaw::test::Folder folder;
  const auto file = folder / "learner.pt";
  bench.learner->fit({.freeze = thaw::FreezeTo{-1}});
  const std::size_t head_only = bench.learner->optimizer().state().size();
  bench.learner->save(file);
  bench.learner->fit({.freeze = thaw::Unfrozen{}});
  REQUIRE(bench.learner->optimizer().state().size() > head_only);
  bench.learner->load(file);
  CHECK(bench.learner->optimizer().state().size() == head_only);

  // The same model with other optimizer groups: refused, the state as it was.
  thaw::Learner other{
      bench.net, thaw::LayerGroups::cut_before(bench.net, {}), thaw::cross_entropy, {.train = bench.data(8)}};
  other.fit({});
  const std::size_t all = other.optimizer().state().size();
  CHECK_THROWS_AS(other.load(file), thaw::FileError);
  CHECK(other.optimizer().state().size() == all);
}

TEST_CASE("a batch that does not fit into memory is one clear error, and the weights are as before it") {
#ifdef THAW_ADDRESS_SANITIZER
  SKIP("AddressSanitizer ends a program that asks for too much memory");
#endif
  Bench bench;
  struct Greedy {
    void on_batch_ready(const thaw::BatchReady& event) const {
      event.batch.input.replace(0, at::empty({std::int64_t{1} << 58}));  // bytes that no machine has
    }
  };
  const auto before = thaw::test::state_of(*bench.net);
  CHECK_THROWS_MATCHES(bench.learner->fit({}, Greedy{}), thaw::MemoryError,
                       MessageMatches(ContainsSubstring("does not fit into the memory of cpu")));
  CHECK(thaw::test::same_state(before, *bench.net));
  CHECK(bench.learner->fit({}).epoch == 1);
}

TEST_CASE("a fit that fails is counted as one, and the next one can be resumed") {
  Bench bench;
  struct Fail {
    void on_step_end(const thaw::StepEnd&) const { throw std::runtime_error("the user's own"); }
  };
  CHECK_THROWS_AS(bench.learner->fit({}, Fail{}), std::runtime_error);
  const thaw::RunState state = bench.learner->run_state();
  CHECK(state.at("place/fit").item<std::int64_t>() == 1);
  CHECK_FALSE(state.at("place/begun").item<bool>());
}

TEST_CASE("a last batch of one sample that a batch norm cannot take is refused before the first step") {
  const auto with_norm = [](std::int64_t samples, std::int64_t batch_size, bool drop_last = false) {
    at::manual_seed(1);
    const torch::nn::Sequential net(torch::nn::Linear(4, 6), torch::nn::BatchNorm1d(6), torch::nn::Dropout(),
                                    torch::nn::Linear(6, 3));
    return thaw::Learner(net, thaw::LayerGroups::cut_at(net, {3}), thaw::cross_entropy,
                         {.train = thaw::InMemory({.input = at::randn({samples, 4}),
                                                   .target = at::randint(3, {samples}, at::kLong),
                                                   .batch_size = batch_size,
                                                   .drop_last = drop_last})});
  };
  const thaw::Stage all{.name = "all", .epochs = 1, .freeze = thaw::Unfrozen{}, .lr = 1e-3};
  thaw::Learner learner = with_norm(17, 8);
  const auto before = thaw::test::state_of(*learner.groups().module());
  CHECK_THROWS_MATCHES(learner.fit(all), thaw::DataError,
                       MessageMatches(ContainsSubstring("stage \"all\"") && ContainsSubstring("drop_last")));
  CHECK(thaw::test::same_state(before, *learner.groups().module()));
  CHECK(learner.history().steps.empty());

  SECTION("a plan whose later stage cannot take it is refused as a whole") {
    CHECK_THROWS_AS(learner.fit(std::vector<thaw::Stage>{{.epochs = 1, .freeze = thaw::FreezeTo{-1}, .lr = 1e-3}, all}),
                    thaw::DataError);
    CHECK(learner.history().steps.empty());
  }
  SECTION("a norm that is held takes it, and so does one that is frozen") {
    learner.fit({.epochs = 1, .freeze = thaw::Unfrozen{}, .lr = 1e-3, .norm = thaw::hold_everywhere});
    learner.fit({.epochs = 1, .freeze = thaw::FreezeTo{-1}, .lr = 1e-3});
    CHECK(learner.history().steps.size() == 6);
  }
  SECTION("trying it draws no random number and moves no statistics") {
    thaw::Learner tried = with_norm(17, 8), not_tried = with_norm(17, 8);
    const thaw::Stage held{.epochs = 1, .freeze = thaw::Unfrozen{}, .lr = 1e-3, .norm = thaw::hold_everywhere};
    CHECK_THROWS_AS(tried.fit(all), thaw::DataError);
    for (thaw::Learner* each : {&tried, &not_tried}) {
      at::manual_seed(2);
      each->fit(held);
    }
    CHECK(thaw::test::same_state(thaw::test::state_of(*tried.groups().module()), *not_tried.groups().module()));
  }
  SECTION("left out, or not there, it is no matter") {
    with_norm(17, 8, /*drop_last=*/true).fit(all);
    with_norm(16, 8).fit(all);
  }
  SECTION("where the source cannot tell, it is the step's error, and the Learner goes on") {
    std::vector<thaw::Batch> batches{{at::randn({4, 4}), at::randint(3, {4}, at::kLong)},
                                     {at::randn({1, 4}), at::randint(3, {1}, at::kLong)}};
    learner.data({.train = batches});
    CHECK_THROWS_MATCHES(learner.fit(all), thaw::DataError, MessageMatches(ContainsSubstring("a batch of 1 sample")));
    batches.pop_back();
    learner.data({.train = batches});
    learner.fit(all);
  }
}

TEST_CASE("a batch of one image is enough for a norm over its pixels") {
  const torch::nn::Sequential net(torch::nn::Conv2d(1, 3, 3), torch::nn::BatchNorm2d(3),
                                  torch::nn::AdaptiveAvgPool2d(1), torch::nn::Flatten(), torch::nn::Linear(3, 2));
  thaw::Learner learner(
      net, thaw::LayerGroups::per_child(net), thaw::cross_entropy,
      {.train = thaw::InMemory(
           {.input = at::randn({5, 1, 6, 6}), .target = at::randint(2, {5}, at::kLong), .batch_size = 4})});
  learner.fit({.epochs = 2, .freeze = thaw::Unfrozen{}, .lr = 1e-3});
  CHECK(learner.history().steps.size() == 4);
}

TEST_CASE("an empty validation set is refused before the first step") {
  Bench bench;
  for (const thaw::DataSource& none : {thaw::DataSource(std::vector<thaw::Batch>{}),
                                       thaw::DataSource::from(std::vector<int>{}, [](int) { return thaw::Batch{}; })}) {
    thaw::Learner learner(bench.net, thaw::LayerGroups::per_child(bench.net), thaw::cross_entropy,
                          {.train = bench.data(8), .valid = none});
    CHECK_THROWS_MATCHES(learner.fit({}), thaw::DataError,
                         MessageMatches(ContainsSubstring("validation data") && ContainsSubstring("leave it out")));
    CHECK(learner.history().steps.empty());
  }
}

TEST_CASE("ten thousand layer groups are frozen, thawed, planned and trained as three are") {
  constexpr std::size_t count = 10'000;
  struct ManyImpl : torch::nn::Module {
    ManyImpl() {
      for (std::size_t i = 0; i < count; ++i) {
        const std::string name = "scale" + std::to_string(i);
        scales.push_back(register_module(name, torch::nn::Linear(torch::nn::LinearOptions(1, 1).bias(false))));
      }
    }
    at::Tensor forward(const at::Tensor& x) {
      std::vector<at::Tensor> all;
      for (const auto& scale : scales) all.push_back(scale->weight.view({1}));
      return x * at::cat(all).mean();
    }
    std::vector<torch::nn::Linear> scales;
  };
  const auto net = std::make_shared<ManyImpl>();
  const auto groups = thaw::LayerGroups::per_child(net);
  REQUIRE(groups.size() == count);
  thaw::Learner learner(
      net, groups, thaw::cross_entropy,
      {.train = thaw::InMemory({.input = at::randn({8, 3}), .target = at::randint(3, {8}, at::kLong)})});
  const auto before = thaw::test::state_of(*net);
  learner.fit(
      {.name = "half", .epochs = 2, .freeze = thaw::FreezeTo{5'000}, .lr = thaw::DiscriminativeLR::slice(1e-3, 1e-2)});
  std::size_t moved = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const bool same = before.at("scale" + std::to_string(i) + ".weight").equal(net->scales[i]->weight);
    REQUIRE((i >= 5'000 || same));
    moved += !same;
  }
  CHECK(moved == 5'000);
  const std::vector<double>& lr = learner.history().steps.back().lr;
  REQUIRE(lr.size() == count);
  CHECK(lr[4'999] == 0);
  CHECK(lr[5'000] < lr.back());
  learner.fit({.name = "all", .epochs = 1, .freeze = thaw::GradualUnfreeze{.every = thaw::Epochs{1}}, .lr = 1e-3});
  CHECK(learner.history().steps.size() == 3);
}

TEST_CASE("a source that can be run through once only is an error that says so, whichever pass lacks its batches") {
  Bench bench;
  bench.learner->fit({.lr = 1e-3});  // its layout is settled
  const auto all = complaints(*bench.learner, bench.data(8), [&] { bench.learner->fit({.epochs = 3, .lr = 1e-3}); });
  REQUIRE(all.size() == 4);  // a batch is tried, then there are three epochs
  CHECK_THAT(all[0], ContainsSubstring("data: a second pass over it gives no batches") &&
                         ContainsSubstring("give a source that can be run through again"));
  for (std::size_t epoch = 1; epoch <= 3; ++epoch) {
    const std::string text = "training data: epoch " + std::to_string(epoch) + " gave no batches, the first pass did";
    CHECK_THAT(all[epoch],
               ContainsSubstring(text) && ContainsSubstring("give a source that can be run through more than once"));
  }
  bench.learner->data({.train = bench.data(8)});
  CHECK(bench.learner->fit({}).epoch == 1);  // and the Learner goes on
}

TEST_CASE("find_lr and a cached stage say so too, and leave the weights as they were") {
  const torch::nn::Sequential net(torch::nn::Linear(4, 5), torch::nn::Linear(5, 3));
  const thaw::InMemory data({.input = at::randn({16, 4}), .target = at::randint(3, {16}, at::kLong), .batch_size = 8});
  thaw::Learner learner(net, thaw::LayerGroups::per_child(net), thaw::cross_entropy,
                        {.layout = thaw::Layout::contiguous});
  const auto before = thaw::test::state_of(*net);
  const std::string text = "training data: a second pass over it gives no batches";

  std::vector<std::string> all = complaints(learner, data, [&] {
    const thaw::LRCurve curve = learner.find_lr({.steps = 6, .stop_early = false});
    CHECK(curve.lr.size() == 6);
  });
  REQUIRE(all.size() == 4);  // a batch is tried, then there are three passes of two
  for (std::size_t pass = 1; pass <= 3; ++pass)
    CHECK_THAT(all[pass], ContainsSubstring(text) && ContainsSubstring("give a source that can be run through again"));
  CHECK(thaw::test::same_state(before, *net));

  const thaw::Stage cached{.freeze = thaw::FreezeTo{-1}, .lr = 1e-3, .cache = thaw::Cache::memory};
  learner.data({.train = DriesUp(data, 1)});
  CHECK_THROWS_MATCHES(
      learner.fit(cached), thaw::DataError,
      MessageMatches(ContainsSubstring(text) && ContainsSubstring("give a source that can be run through again")));
  CHECK(thaw::test::same_state(before, *net));
  learner.data({.train = DriesUp(data, 2)});  // what trains is kept by then, and needs no pass
  learner.fit(cached);
  CHECK(thaw::test::changed(before, *net) == std::vector<std::string>{"1.bias", "1.weight"});
}

TEST_CASE("a loss that fails on data which its check finds good fails with its own words, and the Learner goes on") {
  struct Failing {
    std::shared_ptr<int> calls = std::make_shared<int>(0);
    void check(const at::Tensor&, const at::Tensor&) const {}
    at::Tensor operator()(const at::Tensor& output, const at::Tensor& target) const {
      TORCH_CHECK(++*calls != 4, "the loss's own words");
      return thaw::cross_entropy(output, target);
    }
  };
  Bench bench;
  thaw::Learner learner(bench.net, thaw::LayerGroups::per_child(bench.net), Failing{}, {.train = bench.data(8)});
  CHECK_THROWS_MATCHES(learner.fit({.lr = 1e-3}), c10::Error,
                       MessageMatches(ContainsSubstring("the loss's own words")));
  CHECK(learner.history().steps.size() < 5);
  CHECK(learner.fit({.lr = 1e-3}).epoch == 1);
}
