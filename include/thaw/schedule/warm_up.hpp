// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>

#include <thaw/core/error.hpp>
#include <thaw/schedule/anneal.hpp>
#include <thaw/schedule/detail/check.hpp>
#include <thaw/schedule/detail/part.hpp>
#include <thaw/schedule/schedule.hpp>

namespace thaw {

/// How long a warm-up takes, by exactly one of the first three, and where it starts.
struct WarmUp {
  double epochs = 0;
  std::int64_t steps = 0;
  double fraction = 0;  ///< of the stage's steps
  double start = 0;     ///< the first step's multiplier of the peak rate

  /// The fraction of the stage that it takes: more than 1 where the stage is shorter than the warm-up.
  [[nodiscard]] constexpr double part_of(const Progress& stage) const {
    if (fraction > 0) return fraction;
    const double length = steps > 0 ? static_cast<double>(steps) : epochs * static_cast<double>(stage.steps_per_epoch);
    return length / static_cast<double>(stage.steps);
  }

  void check() const {
    if (!(epochs >= 0 && steps >= 0 && fraction >= 0) || (epochs > 0) + (steps > 0) + (fraction > 0) != 1 ||
        !std::isfinite(epochs))
      throw ConfigError("warm_up",
                        "epochs is " + detail::number(epochs) + ", steps " + std::to_string(steps) + ", fraction " +
                            detail::number(fraction),
                        "give a positive number to exactly one of them");
    detail::check_fraction("warm_up", "fraction", fraction);
    detail::check_fraction("warm_up", "start", start);
  }
};

/// A schedule after a warm-up; what `warm_up` makes.
struct WarmedUp {
  AnySchedule schedule = Constant{};
  WarmUp how = {};

  [[nodiscard]] ScheduleValue operator()(const Progress& at) const { return (*this)(at, at.t()); }
  [[nodiscard]] ScheduleValue operator()(const Progress& at, double t) const {
    const double part = how.part_of(at);
    if (part < 1 && t >= part - detail::boundary_slack) {
      const auto rest = detail::within(at, t, part, 1);
      return schedule(rest.at, rest.t);
    }
    const Progress first{.step = 0,
                         .steps = std::max<std::int64_t>(1, at.steps - detail::steps_before(at, part)),
                         .steps_per_epoch = at.steps_per_epoch};
    ScheduleValue value = schedule(first, 0);
    value.lr = anneal_linear(how.start, value.lr, t / part);
    return value;
  }

  void check() const {
    how.check();
    schedule.check();
  }
};

/// The schedule, after a linear rise to its first value; it runs over the remaining steps as if they were the whole:
///
///     thaw::warm_up(thaw::Cosine{}, {.epochs = 1})        thaw::warm_up(thaw::Linear{}, {.steps = 100, .start = 0.1})
///
/// Step i of w steps of warm-up has the multiplier start + (first - start) i / w, so that the first step has `start`
/// and step w is the schedule's own first. The momentum is the schedule's first. Units: multipliers of the peak rate.
/// Source: PyTorch's `LinearLR`; Hugging Face's `get_linear_schedule_with_warmup` (`Linear{}` after a warm-up).
/// Throws ConfigError unless exactly one length is given, and for what the schedule refuses.
[[nodiscard]] inline WarmedUp warm_up(AnySchedule schedule, const WarmUp& how) {
  WarmedUp made{.schedule = std::move(schedule), .how = how};
  made.check();
  return made;
}

}  // namespace thaw
