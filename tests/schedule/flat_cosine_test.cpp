// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/schedule/flat_cosine.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <cmath>
#include <random>

#include "schedule/check_schedule.hpp"

using Catch::Matchers::WithinRel;

TEST_CASE("FlatCosine gives the rates of fastai's fit_flat_cos, step by step") {
  const auto lr = thaw::test::json_fixture("schedule/fit_flat_cos.json")["lr"];
  for (const thaw::Progress at : thaw::steps(24))  // fastai keeps its phase limits in float32
    CHECK_THAT(1e-2 * thaw::FlatCosine{}(at.t()), WithinRel(lr[static_cast<std::size_t>(at.step)].get<double>(), 1e-5));
}

TEST_CASE("FlatCosine is sound for any parameters and number of steps") {
  std::mt19937 random(2);
  std::uniform_real_distribution<double> pct(0, 1), exponent(0, 8);
  for (int i = 0; i < 10; ++i)
    thaw::test::check_schedule(thaw::FlatCosine{.pct_start = pct(random), .div_final = std::pow(10, exponent(random))});
  for (const double edge : {0.0, 1.0}) thaw::test::check_schedule(thaw::FlatCosine{.pct_start = edge});
  thaw::test::check_continuous(thaw::FlatCosine{}, 6.3);
}

TEST_CASE("FlatCosine refuses parameters that make no sense") {
  CHECK_THROWS_AS(thaw::FlatCosine{.pct_start = 1.5}.check(), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::FlatCosine{.div_final = 0}.check(), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::FlatCosine{.div_final = std::nan("")}.check(), thaw::ConfigError);
}

TEST_CASE("FlatCosine falls along its cosine from wherever it is told to") {
  const thaw::FlatCosine schedule{.pct_start = 0.6, .div_final = 10};
  CHECK(schedule(0.59) == 1);
  CHECK_THAT(schedule(0.7), WithinRel(1 - 0.45 * (1 - std::sqrt(0.5)), 1e-12));  // a quarter of the way
  CHECK_THAT(schedule(0.8), WithinRel(0.55, 1e-12));
  CHECK_NOTHROW(thaw::FlatCosine{.div_final = 1}.check());
}
