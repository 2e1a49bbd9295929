#include <thaw/schedule/one_cycle.hpp>
#include <thaw/schedule/schedule.hpp>

#include <catch2/catch_test_macros.hpp>

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

TEST_CASE("Constant keeps the peak rate and leaves the momentum alone") {
  CHECK(thaw::Constant{}({.step = 3, .steps = 4}).lr == 1.0);
  CHECK_FALSE(thaw::Constant{}({}).momentum.has_value());
  thaw::test::check_schedule(thaw::Constant{});
}

TEST_CASE("the concept tells schedules from other things") {
  STATIC_CHECK(thaw::Schedule<thaw::OneCycle>);
  STATIC_CHECK(thaw::Schedule<thaw::TorchOneCycle>);
  STATIC_CHECK(thaw::Schedule<decltype([](double t) { return t; })>);
  STATIC_CHECK_FALSE(thaw::Schedule<int>);
  STATIC_CHECK_FALSE(thaw::Schedule<decltype([](std::string) { return 1.0; })>);
}

TEST_CASE("AnySchedule passes a schedule's own check on") {
  CHECK_THROWS_AS(thaw::AnySchedule(thaw::OneCycle{.pct_start = -1}).check(), thaw::ConfigError);
  CHECK_NOTHROW(thaw::AnySchedule([](double) { return 1.0; }).check());
}
