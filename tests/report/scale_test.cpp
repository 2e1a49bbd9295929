// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/report/detail/scale.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <vector>

#include "support/numbers.hpp"

using namespace thaw::detail;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;
using thaw::test::infinite;
using thaw::test::not_a_number;

namespace {

Extent extent(bool log, std::vector<double> values) {
  Extent e{log};
  e.add(values);
  return e;
}

}  // namespace

TEST_CASE("an extent holds what its axis can show") {
  CHECK_FALSE(extent(false, {not_a_number, infinite}).range());
  CHECK(extent(false, {3, not_a_number, -1, infinite}).range()->low == -1);
  CHECK(extent(false, {3, not_a_number, -1, -infinite}).range()->high == 3);
  CHECK(extent(true, {0, -4, 2, 8}).range()->low == 2);
  CHECK_FALSE(extent(true, {0, -1}).range());
}

TEST_CASE("a padded range is never empty, and never overflows") {
  const double most = std::numeric_limits<double>::max();
  for (const bool log : {false, true})
    for (const auto& values : std::vector<std::vector<double>>{
             {5}, {-5, -5}, {1e-300}, {0}, {5e-324}, {most, 1}, {-most, most}, {1, 1 + 1e-15}, {most}}) {
      const auto range = extent(log, values).range();
      if (!range) continue;
      const Range p = padded(*range, log, 0.05);
      CAPTURE(log, values.front(), p.low, p.high);
      CHECK(p.low < p.high);
      CHECK(std::isfinite(p.high - p.low));
      CHECK((!log || p.low > 0));
    }
}

TEST_CASE("an axis keeps the limits that it was given") {
  const Extent data = extent(false, {0, 10});
  CHECK(shown({.lowest = 2, .highest = 4}, data, 0.1).low == 2);
  CHECK(shown({.lowest = 2, .highest = 4}, data, 0.1).high == 4);
  CHECK_THAT(shown({.highest = 4}, data, 0.1).low, WithinAbs(-0.4, 1e-12));  // the margin is of what is shown
  CHECK(shown({.lowest = 20}, data, 0.1).low == 20);
  CHECK(shown({.lowest = 20}, data, 0.1).high > 20);
  CHECK(shown({.lowest = not_a_number, .highest = infinite}, data, 0.1).high == 11);
  CHECK(shown({.log = true, .lowest = -1}, extent(true, {1, 10}), 0).low == 1);
  CHECK(shown({}, extent(false, {}), 0).high == 1);
  const Range crossed = shown({.lowest = 20, .highest = 5}, data, 0.1);
  CHECK(crossed.low < crossed.high);
}

TEST_CASE("limits around a core leave a margin, and as much room above as is asked for") {
  CHECK_THAT(*axis_around({1, 2}, 0).lowest, WithinRel(0.94, 1e-9));
  CHECK_THAT(*axis_around({1, 2}, 0).highest, WithinRel(2.06, 1e-9));
  CHECK_THAT(*axis_around({1, 2}, 0.35).highest, WithinRel(2.35, 1e-9));
  CHECK_FALSE(axis_around({1, 1}, 0.35).highest);
}

TEST_CASE("a scale maps its range onto its interval") {
  const Scale linear{.range = {0, 10}, .begin = 100, .end = 200},
      log{.range = {1e-4, 1}, .log = true, .begin = 4, .end = 0};
  CHECK(linear(5) == 150);
  CHECK_THAT(log(1e-2), WithinAbs(2, 1e-12));
  CHECK(std::isnan(linear(not_a_number)));
  CHECK(std::isnan(linear(infinite)));
  CHECK(std::isnan(log(0)));
  CHECK(linear(1e300) == 100 + 50 * 100);
  CHECK(std::isfinite(log(5e-324)));
}
