// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/time_limit.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support/bench.hpp"

using thaw::TimeLimit;

TEST_CASE("a time limit ends each stage after a step, with its validation; the plan goes on") {
  thaw::test::Bench bench;
  const std::vector<thaw::Stage> plan{{.epochs = 5, .lr = 0.1}, {.epochs = 5, .lr = 0.1}};
  const thaw::EpochRecord last = bench.learner->fit(plan, TimeLimit{.minutes = 1e-12});
  CHECK(last.stop == "it took longer than 1e-12 minutes");
  CHECK(last.valid.has_value());
  CHECK(bench.learner->history().steps_done == 2);
  CHECK(bench.learner->history().stages.size() == 2);
  CHECK(bench.learner->fit({.epochs = 2, .lr = 0.1}, TimeLimit{.minutes = 60}).stop.empty());
}

TEST_CASE("the time that a resumed run had taken counts") {
  thaw::RunState state;
  TimeLimit::State now{.seconds_before = 100}, later;
  thaw::test::Bench bench;
  TimeLimit::on_run_state({.learner = *bench.learner, .state = {state, /*reading=*/false}, .fitting = true}, now);
  TimeLimit::on_run_state({.learner = *bench.learner, .state = {state, /*reading=*/true}, .fitting = true}, later);
  CHECK((later.seconds() >= 100 && later.seconds() < 110));
}

TEST_CASE("a limit of no time is refused") {
  thaw::test::Bench bench;
  CHECK_THROWS_MATCHES(bench.learner->fit({}, TimeLimit{.minutes = 0}), thaw::ConfigError,
                       Catch::Matchers::MessageMatches(Catch::Matchers::ContainsSubstring("TimeLimit: 0 minutes")));
}
