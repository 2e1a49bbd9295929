// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/gradient_accumulation.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>

#include "support/bench.hpp"

using thaw::GradientAccumulation;
using thaw::test::Bench;

TEST_CASE("so many batches accumulate to the step of one large batch, uneven ends included") {
  // 42 samples: ten batches of 4 and one of 2; accumulated by 3: steps on 12, 12, 12 and 6 samples.
  Bench accumulated({.samples = 42, .batch_size = 4}), whole({.samples = 42, .batch_size = 12});
  const thaw::Stage stage{.epochs = 2, .lr = 0.1, .schedule = thaw::OneCycle{}};
  accumulated.learner->fit(stage, GradientAccumulation{3});
  whole.learner->fit(stage);
  REQUIRE(accumulated.learner->history().steps.size() == 8);
  REQUIRE(whole.learner->history().steps.size() == 8);
  for (std::size_t i = 0; i < 8; ++i) {
    CHECK(accumulated.learner->history().steps[i].lr == whole.learner->history().steps[i].lr);
    CHECK_THAT(accumulated.learner->history().steps[i].loss,
               Catch::Matchers::WithinRel(whole.learner->history().steps[i].loss, 1e-12));
  }
  const auto expected = thaw::test::state_of(*whole.net);
  for (const auto& [name, tensor] : thaw::test::state_of(*accumulated.net)) {
    CAPTURE(name);
    CHECK(at::allclose(tensor, expected.at(name), 1e-10, 1e-13));
  }
  CHECK_THAT(accumulated.learner->history().epochs[1].train_loss,
             Catch::Matchers::WithinRel(whole.learner->history().epochs[1].train_loss, 1e-12));
}

TEST_CASE("batches accumulate by what counts in them: ignored targets and class weights, as in one large batch") {
  Bench accumulated({.samples = 48, .batch_size = 4}), whole({.samples = 48, .batch_size = 12});
  const auto learner = [](Bench& bench, std::int64_t batch_size) {
    at::Tensor target = bench.target.clone();
    target.slice(0, 0, 4).fill_(255);   // of the first step's batches nothing counts in one,
    target.slice(0, 5, 8).fill_(255);   // and a sample in another
    target.slice(0, 24, 36).fill_(255);  // nothing in the third step
    const thaw::CrossEntropy loss{.weight = at::tensor({1.0, 5.0, 0.2}, at::kDouble), .ignore_index = 255};
    const auto source = thaw::InMemory({.input = bench.input, .target = target, .batch_size = batch_size});
    return thaw::Learner(bench.net, thaw::LayerGroups::cut_before(bench.net, {"body", "head"}), loss,
                         {.train = source, .optimizer = [](const thaw::LayerGroups& groups) {
                            return std::make_unique<torch::optim::SGD>(thaw::param_groups(groups),
                                                                       torch::optim::SGDOptions(0.1));
                          }});
  };
  thaw::Learner one = learner(accumulated, 4), other = learner(whole, 12);
  const thaw::Stage stage{.epochs = 2, .lr = 0.1, .schedule = thaw::Constant{}};
  one.fit(stage, GradientAccumulation{3});
  other.fit(stage);
  REQUIRE(one.history().steps.size() == 8);
  for (std::size_t i = 0; i < 8; ++i)
    CHECK_THAT(one.history().steps[i].loss, Catch::Matchers::WithinRel(other.history().steps[i].loss, 1e-12));
  CHECK(one.history().steps[2].loss == 0);
  const auto expected = thaw::test::state_of(*whole.net);
  for (const auto& [name, tensor] : thaw::test::state_of(*accumulated.net)) {
    CAPTURE(name);
    CHECK(at::allclose(tensor, expected.at(name), 1e-10, 1e-13));
  }
  const thaw::LRCurve curve = one.find_lr({.steps = 12}, GradientAccumulation{3}), large = other.find_lr({.steps = 12});
  for (std::size_t i = 0; i < curve.lr.size(); ++i)
    CHECK_THAT(curve.loss[i], Catch::Matchers::WithinRel(large.loss[i], 1e-9));
}

TEST_CASE("the LR finder counts optimizer steps, and sees the loss of the whole step") {
  Bench accumulated({.samples = 48, .batch_size = 4}), whole({.samples = 48, .batch_size = 12});
  const thaw::LRCurve curve = accumulated.learner->find_lr({.steps = 20}, GradientAccumulation{3});
  const thaw::LRCurve expected = whole.learner->find_lr({.steps = 20});
  REQUIRE(curve.lr == expected.lr);
  for (std::size_t i = 0; i < curve.lr.size(); ++i)
    CHECK_THAT(curve.loss[i], Catch::Matchers::WithinRel(expected.loss[i], 1e-9));
}

TEST_CASE("fewer than one batch per step is refused") {
  Bench bench;
  CHECK_THROWS_AS(bench.learner->fit({}, GradientAccumulation{0}), thaw::ConfigError);
}
