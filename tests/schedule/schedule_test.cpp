// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/schedule/one_cycle.hpp>
#include <thaw/schedule/schedule.hpp>

#include <catch2/catch_test_macros.hpp>
#include <string>

#include "schedule/check_schedule.hpp"

TEST_CASE("a lambda over t and a lambda over Progress are schedules") {
  const thaw::AnySchedule falls = [](double t) { return 1 - t; };
  CHECK(falls({.step = 1, .steps = 4}).lr == 0.75);
  CHECK_FALSE(falls({.step = 1, .steps = 4}).momentum.has_value());

  const thaw::AnySchedule with_momentum = [](const thaw::Progress& at) { return thaw::ScheduleValue{at.t(), 0.9}; };
  CHECK(with_momentum({.step = 1, .steps = 2}).lr == 0.5);
  CHECK(with_momentum({.step = 1, .steps = 2}).momentum == 0.9);
  thaw::test::check_schedule([](double t) { return 1 - t; });
}

TEST_CASE("either form may give a multiplier, or a multiplier and a momentum") {
  const thaw::Progress at{.step = 1, .steps = 4};
  const auto lr = [](double t) { return t; };
  const auto both = [](double t) { return thaw::ScheduleValue{t, 0.9}; };
  const auto lr_of_step = [](const thaw::Progress& now) { return now.t(); };
  const auto both_of_step = [](const thaw::Progress& now) { return thaw::ScheduleValue{now.t(), 0.9}; };
  CHECK(thaw::AnySchedule(lr)(at).lr == 0.25);
  CHECK(thaw::AnySchedule(both)(at).lr == 0.25);
  CHECK(thaw::AnySchedule(both)(at).momentum == 0.9);
  CHECK(thaw::AnySchedule(lr_of_step)(at).lr == 0.25);
  CHECK(thaw::AnySchedule(both_of_step)(at).lr == 0.25);
  CHECK(thaw::AnySchedule(both_of_step)(at).momentum == 0.9);
}

TEST_CASE("in a part of a stage, a schedule of t sees it exactly and a schedule of steps sees whole steps") {
  const thaw::Progress at{.step = 1, .steps = 4};
  CHECK(thaw::AnySchedule([](double t) { return t; })(at, 0.3).lr == 0.3);
  CHECK(thaw::AnySchedule([](const thaw::Progress& now) { return now.t(); })(at, 0.3).lr == 0.25);
  CHECK(thaw::AnySchedule([](const thaw::Progress& now, double t) { return t - now.t(); })(at, 0.5).lr == 0.25);
}

TEST_CASE("what can be called both ways is called with Progress") {
  struct Both {
    double operator()(double) const { return 0; }
    double operator()(const thaw::Progress&) const { return 1; }
  };
  CHECK(thaw::AnySchedule(Both{})({}).lr == 1);
}

TEST_CASE("Constant keeps the peak rate and leaves the momentum alone") {
  CHECK(thaw::Constant{}(0.75) == 1.0);
  CHECK_FALSE(thaw::AnySchedule(thaw::Constant{})({}).momentum.has_value());
  thaw::test::check_schedule(thaw::Constant{});
}

TEST_CASE("the concept tells schedules from other things") {
  STATIC_CHECK(thaw::Schedule<thaw::OneCycle>);
  STATIC_CHECK(thaw::Schedule<thaw::TorchOneCycle>);
  STATIC_CHECK(thaw::Schedule<thaw::AnySchedule>);
  STATIC_CHECK(thaw::Schedule<decltype([](double t) { return t; })>);
  STATIC_CHECK(thaw::Schedule<decltype([](double t) { return thaw::ScheduleValue{t, 0.9}; })>);
  STATIC_CHECK(thaw::Schedule<decltype([](const thaw::Progress& at) { return at.t(); })>);
  STATIC_CHECK(thaw::Schedule<decltype([](const thaw::Progress& at) { return thaw::ScheduleValue{at.t(), 0.9}; })>);
  STATIC_CHECK(thaw::Schedule<decltype([](const thaw::Progress&, double t) { return t; })>);
  STATIC_CHECK_FALSE(thaw::Schedule<int>);
  STATIC_CHECK_FALSE(thaw::Schedule<decltype([](std::string) { return 1.0; })>);
  STATIC_CHECK_FALSE(thaw::Schedule<decltype([](double) { return std::string(); })>);
  STATIC_CHECK_FALSE(thaw::Schedule<decltype([](double, double) { return 1.0; })>);
  STATIC_CHECK_FALSE(thaw::Schedule<decltype([i = 0](double) mutable { return double(i++); })>);
}

TEST_CASE("AnySchedule passes a schedule's own check on") {
  CHECK_THROWS_AS(thaw::AnySchedule(thaw::OneCycle{.pct_start = -1}).check(), thaw::ConfigError);
  CHECK_NOTHROW(thaw::AnySchedule([](double) { return 1.0; }).check());
}

TEST_CASE("a value of which nothing is said keeps the peak rate") {
  CHECK(thaw::ScheduleValue{}.lr == 1);
  CHECK_FALSE(thaw::ScheduleValue{}.momentum.has_value());
}
