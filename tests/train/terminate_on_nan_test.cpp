// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/terminate_on_nan.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <limits>

#include "support/bench.hpp"

using thaw::test::Bench;

namespace {

/// A loss that breaks at its n-th batch.
struct Breaking {
  int left;
  void on_loss_ready(const thaw::LossReady& event) {
    if (--left == 0) event.loss = event.loss * std::numeric_limits<double>::quiet_NaN();
  }
};

}  // namespace

TEST_CASE("TerminateOnNaN stops before the step that would have ruined the weights") {
  Bench bench, reference;
  const thaw::EpochRecord last =
      bench.learner->fit({.epochs = 3, .lr = 0.1, .schedule = thaw::Constant{}}, Breaking{8}, thaw::TerminateOnNaN{});
  CHECK(last.epoch == 2);
  CHECK_THAT(last.stop, Catch::Matchers::ContainsSubstring("the loss is nan"));
  CHECK(bench.learner->history().steps.size() == 7);
  CHECK(std::isfinite(last.train_loss));

  struct StopAt {
    void on_step_end(const thaw::StepEnd& event) const {
      if (event.step == 7) event.learner.stop("enough");
    }
  };
  reference.learner->fit({.epochs = 3, .lr = 0.1, .schedule = thaw::Constant{}}, StopAt{});
  CHECK(thaw::test::same_state(thaw::test::state_of(*reference.net), *bench.net));
}

TEST_CASE("a loss that is never finite stops the first epoch without a single step") {
  Bench bench;
  const auto before = thaw::test::state_of(*bench.net);
  const thaw::EpochRecord last = bench.learner->fit({.epochs = 2}, Breaking{1}, thaw::TerminateOnNaN{});
  CHECK(last.epoch == 1);
  CHECK(std::isnan(last.train_loss));
  CHECK(thaw::test::same_state(before, *bench.net));
}
