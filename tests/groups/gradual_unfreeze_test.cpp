// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/groups/gradual_unfreeze.hpp>

#include <catch2/catch_test_macros.hpp>
#include <vector>

#include "groups/check_policy.hpp"

using thaw::GradualUnfreeze;
using thaw::test::frozen;
using thaw::test::names;

TEST_CASE("GradualUnfreeze thaws one more group per period, from the last to the first") {
  const GradualUnfreeze epochs{.every = thaw::Epochs{2}}, steps{.every = thaw::Steps{3}};
  const auto groups = names(3);
  const auto at_epoch = [&](std::int64_t epoch) {
    return frozen(epochs, groups, {.step = 5 * epoch + 4, .steps = 100, .steps_per_epoch = 5});
  };
  CHECK(at_epoch(0) == std::vector{true, true, false});
  CHECK(at_epoch(1) == std::vector{true, true, false});
  CHECK(at_epoch(2) == std::vector{true, false, false});
  CHECK(at_epoch(3) == std::vector{true, false, false});
  CHECK(at_epoch(4) == std::vector{false, false, false});
  CHECK(at_epoch(19) == std::vector{false, false, false});
  const auto at_step = [&](std::int64_t step) { return frozen(steps, groups, {.step = step, .steps = 100}); };
  CHECK(at_step(2) == std::vector{true, true, false});
  CHECK(at_step(3) == std::vector{true, false, false});
  CHECK(at_step(6) == std::vector{false, false, false});
}

TEST_CASE("GradualUnfreeze never freezes again, and thaws all in n - 1 periods") {
  for (const std::size_t count : {2, 3, 7})
    for (const std::int64_t period : {1, 2, 5})
      for (const bool by_epoch : {true, false}) {
        GradualUnfreeze policy{.every = thaw::Steps{period}};
        if (by_epoch) policy.every = thaw::Epochs{static_cast<double>(period)};
        const std::int64_t per_epoch = by_epoch ? 4 : 1;
        const auto last = static_cast<std::int64_t>(count - 1) * period * per_epoch;
        const auto groups = names(count);
        CAPTURE(count, period, by_epoch);
        thaw::test::check_policy(policy, groups);
        std::vector<bool> before(count, true);
        for (const thaw::Progress at : thaw::steps(last + 3, per_epoch)) {
          const std::vector<bool> now = frozen(policy, groups, at);
          CHECK_FALSE(now.back());
          CHECK(now.front() == (at.step < last));
          for (std::size_t i = 0; i < count; ++i) CHECK((before[i] || !now[i]));
          for (std::size_t i = 1; i < count; ++i) CHECK((now[i - 1] || !now[i]));  // the thawed ones are the last ones
          before = now;
        }
      }
}

TEST_CASE("a period may be a part of an epoch, or of the stage") {
  const auto groups = names(3);
  for (const GradualUnfreeze& policy : {GradualUnfreeze{.every = thaw::Epochs{0.5}}, {.every = thaw::Fraction{0.25}}}) {
    const auto at_step = [&](std::int64_t step) {
      return frozen(policy, groups, {.step = step, .steps = 20, .steps_per_epoch = 10});
    };
    CHECK(at_step(4) == std::vector{true, true, false});
    CHECK(at_step(5) == std::vector{true, false, false});
    CHECK(at_step(10) == std::vector{false, false, false});
  }
}

TEST_CASE("GradualUnfreeze wants a period, one epoch by default, and groups to thaw") {
  CHECK_NOTHROW(GradualUnfreeze{}.check(3));
  CHECK(frozen(GradualUnfreeze{}, names(3), {.step = 5, .steps = 20, .steps_per_epoch = 5}) ==
        std::vector{true, false, false});
  CHECK_THROWS_AS(GradualUnfreeze{.every = thaw::Epochs{0}}.check(3), thaw::ConfigError);
  CHECK_THROWS_AS(GradualUnfreeze{.every = thaw::Fraction{2}}.check(3), thaw::ConfigError);
  CHECK_THROWS_AS(GradualUnfreeze{.every = thaw::Steps{-1}}.check(3), thaw::ConfigError);
  CHECK_THROWS_AS(GradualUnfreeze{.every = thaw::Epochs{1}}.check(1), thaw::ConfigError);
  CHECK_NOTHROW(GradualUnfreeze{.every = thaw::Epochs{1}}.check(2));
  STATIC_CHECK(thaw::FreezePolicy<GradualUnfreeze>);
}
