// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/schedule/decay.hpp>

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <random>

#include "schedule/check_schedule.hpp"

TEST_CASE("Linear, Polynomial and Exponential equal torch.optim.lr_scheduler's") {
  thaw::test::check_reference("Linear", [](const auto& kwargs) { return thaw::LinearDecay{.end = kwargs["end"]}; });
  thaw::test::check_reference("Polynomial",
                              [](const auto& kwargs) { return thaw::Polynomial{.power = kwargs["power"]}; });
  thaw::test::check_reference("Exponential",
                              [](const auto& kwargs) { return thaw::Exponential{.end = kwargs["end"]}; });
}

TEST_CASE("a polynomial of power 1 is a line") {
  for (const thaw::Progress at : thaw::steps(20))
    CHECK(std::abs(thaw::Polynomial{.end = 0.2}(at.t()) - thaw::LinearDecay{.end = 0.2}(at.t())) < 1e-15);
}

TEST_CASE("decays are sound for any parameters and number of steps, and never rise") {
  std::mt19937 random(4);
  std::uniform_real_distribution<double> end(1e-6, 1), power(0.2, 5);
  const auto check = [](const auto& schedule) {
    thaw::test::check_schedule(schedule);
    for (const thaw::Progress at : thaw::steps(100)) CHECK(schedule(at.t() + 0.01) <= schedule(at.t()) + 1e-15);
  };
  for (int i = 0; i < 10; ++i) {
    check(thaw::LinearDecay{.end = end(random)});
    check(thaw::Polynomial{.power = power(random), .end = end(random)});
    check(thaw::Exponential{.end = end(random)});
  }
  thaw::test::check_continuous(thaw::LinearDecay{}, 1.01);
  thaw::test::check_continuous(thaw::Polynomial{.power = 2}, 2.01);
  thaw::test::check_continuous(thaw::Exponential{}, 4.7);
}

TEST_CASE("decays refuse parameters that make no sense") {
  CHECK_THROWS_AS(thaw::LinearDecay{.end = -1}.check(), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::Polynomial{.power = 0}.check(), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::Polynomial{.end = 2}.check(), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::Exponential{.end = 0}.check(), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::Exponential{.end = std::nan("")}.check(), thaw::ConfigError);
}

TEST_CASE("errors show fractions as people write them") {
  try {
    thaw::LinearDecay{.end = -1e-7}.check();
    FAIL("not refused");
  } catch (const thaw::ConfigError& error) {
    CHECK(error.problem() == "end is -1e-07");
  }
}

TEST_CASE("a decay by nothing is allowed") {
  CHECK_NOTHROW(thaw::LinearDecay{.end = 1}.check());
  CHECK_NOTHROW(thaw::Exponential{.end = 1}.check());
  CHECK(thaw::Exponential{.end = 1}(0.5) == 1);
}
