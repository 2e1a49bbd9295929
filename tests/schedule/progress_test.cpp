// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/schedule/progress.hpp>

#include <catch2/catch_test_macros.hpp>
#include <ranges>

static_assert(std::ranges::forward_range<thaw::StepRange> && std::ranges::sized_range<thaw::StepRange>);

TEST_CASE("progress gives the fraction of the steps and the epoch") {
  const thaw::Progress at{.step = 5, .steps = 20, .steps_per_epoch = 4};
  CHECK(at.t() == 0.25);
  CHECK(at.epoch() == 1);
}

TEST_CASE("steps() runs over every step once, t from 0, never 1") {
  std::int64_t expected = 0;
  for (const thaw::Progress at : thaw::steps(3, 2)) {
    CHECK(at.step == expected);
    CHECK(at.steps == 3);
    CHECK(at.epoch() == expected / 2);
    CHECK(at.t() < 1);
    ++expected;
  }
  CHECK(expected == 3);
  CHECK(thaw::steps(3, 2).size() == 3);
}

TEST_CASE("steps() refuses epochs without steps and less than no steps, which would never end") {
  CHECK_THROWS_AS(thaw::steps(10, 0), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::steps(-1), thaw::ConfigError);
  CHECK(thaw::steps(0).empty());
}

TEST_CASE("a stage of which nothing is said has one step and one epoch") {
  CHECK(thaw::Progress{}.t() == 0);
  CHECK(thaw::Progress{}.epoch() == 0);
  CHECK(thaw::Progress{.steps = 4}.step == 0);
}
