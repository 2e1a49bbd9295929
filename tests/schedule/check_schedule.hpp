#pragma once

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <thaw/schedule/schedule.hpp>

namespace thaw::test {

/// What every schedule owes, for any number of steps: finite, a multiplier in [0, 1], a momentum in [0, 1), the same
/// value each time, and the same through AnySchedule.
inline void check_schedule(const Schedule auto& schedule) {
  const AnySchedule any = schedule;
  any.check();
  for (const std::int64_t total : {1, 2, 3, 4, 5, 7, 10, 97, 1000})
    for (const Progress at : steps(total)) {
      CAPTURE(total, at.step);
      const ScheduleValue value = any(at);
      REQUIRE((std::isfinite(value.lr) && value.lr >= 0 && value.lr <= 1 + 1e-12));
      REQUIRE(value.momentum.value_or(0.5) >= 0);
      REQUIRE(value.momentum.value_or(0.5) < 1);
      REQUIRE(any(at).lr == value.lr);
      REQUIRE(any(at).momentum == value.momentum);
    }
}

}  // namespace thaw::test
