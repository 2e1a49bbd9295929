// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/schedule/cosine.hpp>
#include <thaw/schedule/one_cycle.hpp>
#include <thaw/schedule/repeat.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <cmath>

#include "schedule/check_schedule.hpp"

using Catch::Matchers::WithinAbs;

TEST_CASE("a repeated cosine is a cosine with equal restarts") {
  for (const int times : {1, 2, 3, 7})
    for (const std::int64_t total : {1, 7, 21, 97, 300}) {
      const thaw::CosineRestarts restarts{.cycles = times, .mult = 1};
      const thaw::Repeat repeated = thaw::repeat(thaw::Cosine{}, times);
      CAPTURE(times, total);
      for (const thaw::Progress at : thaw::steps(total)) CHECK_THAT(repeated(at).lr, WithinAbs(restarts(at.t()), 1e-9));
    }
}

TEST_CASE("a repeated schedule of steps begins again at step 0") {
  const thaw::Repeat twice = thaw::repeat([](const thaw::Progress& at) { return 1 / (1.0 + 10 * at.t()); }, 2);
  for (const thaw::Progress at : thaw::steps(5))
    CHECK(twice({.step = at.step, .steps = 10}).lr == twice({.step = at.step + 5, .steps = 10}).lr);
}

TEST_CASE("a repetition begins on the step that is meant, whatever the rounding") {
  for (const int times : {3, 10, 49}) {  // 1/49 * 49 < 1
    const thaw::Repeat repeated = thaw::repeat(thaw::Cosine{}, times);
    for (const thaw::Progress at : thaw::steps(5 * times)) {
      CAPTURE(times, at.step);
      CHECK((repeated(at).lr == 1) == (at.step % 5 == 0));
    }
  }
}

TEST_CASE("repeat is sound for any number of steps, and refuses less than once") {
  for (const int times : {1, 2, 3, 10}) {
    thaw::test::check_schedule(thaw::repeat(thaw::OneCycle{}, times));
    thaw::test::check_schedule(thaw::repeat(thaw::TorchOneCycle{}, times));
  }
  CHECK_THROWS_AS(thaw::repeat(thaw::OneCycle{}, 0), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::repeat(thaw::OneCycle{.div = 0}, 2), thaw::ConfigError);
}

TEST_CASE("the last repetition lasts up to the end, and one is the default") {
  const auto position = [](double t) { return t; };
  CHECK(thaw::repeat(position, 3)({.step = 9, .steps = 10}, std::nextafter(1.0, 0.0)).lr > 0.99);
  const thaw::Repeat once{.schedule = position};
  CHECK_NOTHROW(once.check());
  CHECK(once({.step = 1, .steps = 4}).lr == 0.25);
}
