// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/schedule/chain.hpp>
#include <thaw/schedule/cosine.hpp>
#include <thaw/schedule/decay.hpp>
#include <thaw/schedule/one_cycle.hpp>
#include <thaw/schedule/step_decay.hpp>
#include <thaw/schedule/warm_up.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <cmath>
#include <random>

#include "schedule/check_schedule.hpp"

using Catch::Matchers::WithinAbs;
using thaw::warm_up;

TEST_CASE("warm_up equals torch's LinearLR before CosineAnnealingLR, and Hugging Face's linear schedule") {
  const auto warmed = [](const auto& schedule) {
    return [=](const auto& kwargs) { return warm_up(schedule, thaw::Steps{kwargs["steps"]}, kwargs["start"]); };
  };
  thaw::test::check_reference("warm_up(Cosine)", warmed(thaw::Cosine{}));
  thaw::test::check_reference("warm_up(Linear)", warmed(thaw::LinearDecay{}));
}

TEST_CASE("epochs, steps and a fraction of the same length are the same warm-up") {
  const thaw::WarmedUp epochs = warm_up(thaw::Cosine{}, thaw::Epochs{1.5}),
                       steps = warm_up(thaw::Cosine{}, thaw::Steps{6}),
                       fraction = warm_up(thaw::Cosine{}, thaw::Fraction{0.3});
  for (const thaw::Progress at : thaw::steps(20, 4)) {
    CHECK_THAT(epochs(at).lr, WithinAbs(steps(at).lr, 1e-15));
    CHECK_THAT(fraction(at).lr, WithinAbs(steps(at).lr, 1e-15));
  }
  CHECK(steps({.step = 0, .steps = 20}).lr == 0);
  CHECK_THAT(steps({.step = 3, .steps = 20}).lr, WithinAbs(0.5, 1e-15));
  CHECK(steps({.step = 6, .steps = 20}).lr == 1);
}

TEST_CASE("the wrapped schedule runs over the remaining steps as its whole, from its first value") {
  const thaw::WarmedUp warm = warm_up(thaw::TorchOneCycle{}, thaw::Steps{5}, 0.01);
  const double first = thaw::TorchOneCycle{}({.step = 0, .steps = 30}).lr;
  for (const thaw::Progress at : thaw::steps(30)) {
    const thaw::ScheduleValue value = warm({.step = at.step + 5, .steps = 35});
    CHECK(value.lr == thaw::TorchOneCycle{}(at).lr);
    CHECK(value.momentum == thaw::TorchOneCycle{}(at).momentum);
  }
  CHECK_THAT(warm({.step = 2, .steps = 35}).lr, WithinAbs(0.01 + (first - 0.01) * 0.4, 1e-15));
  CHECK(warm({.step = 2, .steps = 35}).momentum == 0.95);
}

TEST_CASE("a stage that is shorter than its warm-up only warms up") {
  const thaw::WarmedUp warm = warm_up(thaw::Cosine{}, thaw::Steps{100});
  for (const thaw::Progress at : thaw::steps(50))
    CHECK_THAT(warm(at).lr, WithinAbs(static_cast<double>(at.step) / 100, 1e-15));
}

TEST_CASE("warm-ups are sound for any length and number of steps") {
  std::mt19937 random(6);
  std::uniform_real_distribution<double> one(0.001, 1);
  for (int i = 0; i < 10; ++i) {
    thaw::test::check_schedule(warm_up(thaw::OneCycle{}, thaw::Epochs{5 * one(random)}, one(random)));
    thaw::test::check_schedule(warm_up(thaw::TorchOneCycle{}, thaw::Steps{1 << i}));
    thaw::test::check_schedule(warm_up(thaw::StepDecay{}, thaw::Fraction{one(random)}));
    thaw::test::check_schedule(thaw::chain(
        {{0.3, warm_up(thaw::OneCycle{}, thaw::Fraction{one(random)})}, {0.7, warm_up(thaw::Cosine{}, thaw::Steps{3})}}));
  }
  thaw::test::check_schedule(warm_up(thaw::Cosine{}, thaw::Fraction{1}));
  thaw::test::check_continuous(warm_up(thaw::Cosine{}, thaw::Fraction{0.2}), 5.1);
  thaw::test::check_continuous(warm_up(thaw::OneCycle{}, thaw::Fraction{0.2}), 8);
}

TEST_CASE("warm_up refuses a length that is none, and what the schedule refuses") {
  CHECK_THROWS_AS(warm_up(thaw::Cosine{}, thaw::Epochs{0}), thaw::ConfigError);
  CHECK_THROWS_AS(warm_up(thaw::Cosine{}, thaw::Epochs{-1}), thaw::ConfigError);
  CHECK_THROWS_AS(warm_up(thaw::Cosine{}, thaw::Steps{0}), thaw::ConfigError);
  CHECK_THROWS_AS(warm_up(thaw::Cosine{}, thaw::Epochs{std::nan("")}), thaw::ConfigError);
  CHECK_THROWS_AS(warm_up(thaw::Cosine{}, thaw::Fraction{1.5}), thaw::ConfigError);
  CHECK_THROWS_AS(warm_up(thaw::Cosine{}, thaw::Steps{10}, 2), thaw::ConfigError);
  CHECK_THROWS_AS(warm_up(thaw::Cosine{.end = -1}, thaw::Steps{10}), thaw::ConfigError);
}

TEST_CASE("while it warms up, a schedule of steps is asked for its first of those that remain, at least one") {
  thaw::Progress seen;
  const auto record = [&seen](const thaw::Progress& at) {
    seen = at;
    return 1.0;
  };
  (void)warm_up(record, thaw::Steps{3})({.step = 2, .steps = 10});
  CHECK(seen.step == 0);
  CHECK(seen.steps == 7);
  (void)warm_up(record, thaw::Steps{12})({.step = 9, .steps = 10});
  CHECK(seen.step == 0);
  CHECK(seen.steps == 1);
}
