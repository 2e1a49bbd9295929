// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/schedule/cosine.hpp>

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "schedule/check_schedule.hpp"

TEST_CASE("Cosine equals torch.optim.lr_scheduler.CosineAnnealingLR") {
  thaw::test::check_reference("Cosine", [](const auto& kwargs) { return thaw::Cosine{.end = kwargs["end"]}; });
}

TEST_CASE("CosineRestarts equals torch.optim.lr_scheduler.CosineAnnealingWarmRestarts") {
  thaw::test::check_reference("CosineRestarts", [](const auto& kwargs) {
    return thaw::CosineRestarts{.cycles = kwargs["cycles"], .mult = kwargs["mult"], .end = kwargs["end"]};
  });
}

TEST_CASE("one cycle, not restarted, is a cosine") {
  const thaw::CosineRestarts once{.cycles = 1, .end = 0.1};
  for (const thaw::Progress at : thaw::steps(50)) CHECK(once(at.t()) == thaw::Cosine{.end = 0.1}(at.t()));
}

TEST_CASE("each cycle begins at the peak on the step that is meant, mult times as long as the one before") {
  for (const int mult : {1, 2, 3})
    for (const int cycles : {2, 3, mult == 1 ? 49 : 6})  // 1/49 * 49 < 1
      for (std::int64_t unit = 1; unit < 60; unit += 2) {
        std::vector<std::int64_t> begins{0};
        for (std::int64_t length = unit; std::cmp_less_equal(begins.size(), cycles); length *= mult)
          begins.push_back(begins.back() + length);
        const thaw::CosineRestarts schedule{.cycles = cycles, .mult = static_cast<double>(mult)};
        for (const std::int64_t step : begins) {
          CAPTURE(mult, cycles, unit, step);
          if (step < begins.back()) CHECK(schedule(thaw::Progress{.step = step, .steps = begins.back()}.t()) == 1);
          if (step > 0 && unit > 1) CHECK(schedule(thaw::Progress{.step = step - 1, .steps = begins.back()}.t()) < 0.3);
        }
      }
}

TEST_CASE("cosines are sound for any parameters and number of steps") {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> end(0, 1), mult(0.5, 4);
  for (int i = 0; i < 10; ++i) {
    thaw::test::check_schedule(thaw::Cosine{.end = end(random)});
    thaw::test::check_continuous(thaw::Cosine{.end = end(random)}, 1.6);
    thaw::test::check_schedule(thaw::CosineRestarts{.cycles = 1 + i, .mult = mult(random), .end = end(random)});
  }
}

TEST_CASE("cosines refuse parameters that make no sense") {
  CHECK_THROWS_AS(thaw::Cosine{.end = -0.1}.check(), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::Cosine{.end = std::nan("")}.check(), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::CosineRestarts{.cycles = 0}.check(), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::CosineRestarts{.mult = 0}.check(), thaw::ConfigError);
  CHECK_THROWS_AS((thaw::CosineRestarts{.cycles = 1000, .mult = 10}.check()), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::CosineRestarts{.end = 2}.check(), thaw::ConfigError);
}

TEST_CASE("restarts do not begin again at the very end") {
  const double end = std::nextafter(1.0, 0.0);
  for (const int cycles : {1, 2, 5}) {
    CHECK(thaw::CosineRestarts{.cycles = cycles}(end) < 1e-9);
    CHECK(thaw::CosineRestarts{.cycles = cycles, .mult = 1}(end) < 1e-9);
  }
}
