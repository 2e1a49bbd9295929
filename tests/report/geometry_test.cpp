// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/report/detail/geometry.hpp>

#include <catch2/catch_test_macros.hpp>

using namespace thaw::detail;

TEST_CASE("samples of a line are close to each other and end where it ends") {
  const std::vector<Point> line{{0, 0}, {30, 40}, {30, 40}};
  const std::vector<Point> samples = sampled(line, 7);
  for (std::size_t i = 1; i < samples.size(); ++i) CHECK(distance(samples[i - 1], samples[i]) <= 7);
  CHECK(samples.front().x == 0);
  CHECK(samples.back().x == 30);
  CHECK(sampled({}, 1).empty());
}
