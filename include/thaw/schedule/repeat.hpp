// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include <thaw/core/error.hpp>
#include <thaw/schedule/detail/part.hpp>
#include <thaw/schedule/schedule.hpp>

namespace thaw {

/// A schedule, several times over; what `repeat` makes.
struct Repeat {
  AnySchedule schedule = Constant{};
  int times = 1;

  [[nodiscard]] ScheduleValue operator()(const Progress& at) const { return (*this)(at, at.t()); }
  [[nodiscard]] ScheduleValue operator()(const Progress& at, double t) const {
    const double n = times;
    const double round = std::min(std::floor((t + detail::boundary_slack) * n), n - 1);
    const auto part = detail::within(at, t, round / n, (round + 1) / n);
    return schedule(part.at, part.t);
  }

  void check() const {
    if (times < 1) throw ConfigError("repeat", std::to_string(times) + " times", "give at least 1");
    schedule.check();
  }
};

/// The schedule `times` times over, each in 1/times of the steps as if that were the whole: t' = t times - floor(t
/// times). Throws ConfigError when `times` is below 1, and for what the schedule refuses.
[[nodiscard]] inline Repeat repeat(AnySchedule schedule, int times) {
  Repeat made{.schedule = std::move(schedule), .times = times};
  made.check();
  return made;
}

}  // namespace thaw
