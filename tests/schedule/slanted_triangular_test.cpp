// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/schedule/slanted_triangular.hpp>

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <random>

#include "schedule/check_schedule.hpp"

TEST_CASE("SlantedTriangular equals the paper's formula, and stays above 0 where that does not") {
  thaw::test::check_reference("SlantedTriangular", [](const auto& kwargs) {
    return thaw::SlantedTriangular{.cut_frac = kwargs["cut_frac"], .ratio = kwargs["ratio"]};
  });
}

TEST_CASE("SlantedTriangular starts and ends at its lowest rate and peaks at the cut") {
  const thaw::SlantedTriangular slanted;
  CHECK(slanted({.step = 0, .steps = 100}) == 1.0 / 32);
  CHECK(slanted({.step = 10, .steps = 100}) == 1);
  CHECK(slanted({.step = 0, .steps = 5}) == 1);  // no step to rise in
}

TEST_CASE("SlantedTriangular is sound for any parameters and number of steps") {
  std::mt19937 random(3);
  std::uniform_real_distribution<double> cut(0, 1), ratio(1, 100);
  for (int i = 0; i < 20; ++i)
    thaw::test::check_schedule(thaw::SlantedTriangular{.cut_frac = cut(random), .ratio = ratio(random)});
  for (const double edge : {0.0, 1.0}) thaw::test::check_schedule(thaw::SlantedTriangular{.cut_frac = edge});
  thaw::test::check_continuous(thaw::SlantedTriangular{}, 10);
}

TEST_CASE("SlantedTriangular refuses parameters that make no sense") {
  CHECK_THROWS_AS(thaw::SlantedTriangular{.cut_frac = -0.1}.check(), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::SlantedTriangular{.cut_frac = std::nan("")}.check(), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::SlantedTriangular{.ratio = 0.5}.check(), thaw::ConfigError);
  CHECK_NOTHROW(thaw::SlantedTriangular{.ratio = 1}.check());
}
