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
