// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/stage.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>

TEST_CASE("a plan is an ordinary vector of stages, policies and lambdas mixed") {
  const std::vector<thaw::Stage> plan{{.name = "head", .freeze = thaw::FreezeTo{-1}, .lr = 2e-3},
                                      {.name = "all",
                                       .epochs = 3,
                                       .freeze = thaw::Unfrozen{},
                                       .lr = thaw::DiscriminativeLR::slice(1e-6, 1e-4),
                                       .schedule = [](double t) { return 1 - t; },
                                       .norm = thaw::hold_everywhere}};
  CHECK(plan[0].lr(2) == std::vector{2e-3, 2e-3});
  CHECK(plan[1].schedule({.step = 1, .steps = 4}).lr == 0.75);
  CHECK(plan[1].norm.thawed == thaw::Norm::hold);
  CHECK_FALSE(thaw::Stage{}.freeze);
}

TEST_CASE("fine_tune's plan is fastai's") {
  const auto plan = thaw::fine_tune_plan(4, 2e-3, {.freeze_epochs = 2});
  REQUIRE(plan.size() == 2);
  CHECK(plan[0].epochs == 2);
  CHECK(plan[0].freeze({.index = 1, .count = 3, .name = ""}, {}));
  CHECK(plan[0].lr(3) == std::vector{2e-4, 2e-4, 2e-3});
  CHECK(plan[1].epochs == 4);
  CHECK_FALSE(plan[1].freeze({.index = 0, .count = 3, .name = ""}, {}));
  CHECK_THAT(plan[1].lr(3)[0], Catch::Matchers::WithinRel(1e-5, 1e-12));
  CHECK_THAT(plan[1].lr(3)[2], Catch::Matchers::WithinRel(1e-3, 1e-12));
  CHECK_THAT(plan[1].schedule({.step = 0, .steps = 10}).lr, Catch::Matchers::WithinRel(0.2, 1e-12));
  CHECK(plan[1].reset_optimizer);
}

TEST_CASE("fine_tune's one-cycle takes fastai's other arguments, in both stages") {
  for (const thaw::Stage& stage : thaw::fine_tune_plan(1, 2e-3, {.div_final = 10, .momentum_high = 0.9})) {
    const thaw::ScheduleValue first = stage.schedule({.step = 0, .steps = 1'000'000});
    const thaw::ScheduleValue last = stage.schedule({.step = 999'999, .steps = 1'000'000});
    CHECK(first.momentum == 0.9);
    CHECK_THAT(last.lr, Catch::Matchers::WithinAbs(0.1, 1e-4));
  }
}
