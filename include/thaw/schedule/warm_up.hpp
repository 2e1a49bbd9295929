// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <variant>

#include <thaw/schedule/anneal.hpp>
#include <thaw/schedule/detail/check.hpp>
#include <thaw/schedule/detail/part.hpp>
#include <thaw/schedule/length.hpp>
#include <thaw/schedule/schedule.hpp>

namespace thaw {

/// A schedule after a warm-up; what `warm_up` makes.
struct WarmedUp {
  AnySchedule schedule = Constant{};
  Length length = Epochs{1};
  double start = 0;  ///< the first step's multiplier of the peak rate

  [[nodiscard]] ScheduleValue operator()(const Progress& at) const { return (*this)(at, at.t()); }
  [[nodiscard]] ScheduleValue operator()(const Progress& at, double t) const {
    const double part = fraction_of(at);
    if (part < 1 && t >= part - detail::boundary_slack) {
      const auto rest = detail::within(at, t, part, 1);
      return schedule(rest.at, rest.t);
    }
    const Progress first{.step = 0,
                         .steps = std::max<std::int64_t>(1, at.steps - detail::steps_before(at, part)),
                         .steps_per_epoch = at.steps_per_epoch};
    ScheduleValue value = schedule(first, 0);
    value.lr = anneal_linear(start, value.lr, t / part);
    return value;
  }

  void check() const {
    detail::check_length("warm_up", length);
    detail::check_fraction("warm_up", "start", start);
    schedule.check();
  }

 private:
  /// Of the stage; more than 1 where the stage is shorter.
  [[nodiscard]] double fraction_of(const Progress& stage) const {
    if (const auto* fraction = std::get_if<Fraction>(&length)) return fraction->number;  // not rounded by the steps
    return steps_of(length, stage) / static_cast<double>(stage.steps);
  }
};

/// The schedule, after a linear rise to its first value; it runs over the remaining steps as if they were the whole:
///
///     thaw::warm_up(thaw::Cosine{}, thaw::Epochs{1})        thaw::warm_up(thaw::LinearDecay{}, thaw::Steps{100}, 0.1)
///
/// Step i of w steps of warm-up has the multiplier start + (first - start) i / w, so that the first step has `start`
/// and step w is the schedule's own first. The momentum is the schedule's first. Units: multipliers of the peak rate.
/// Source: PyTorch's `LinearLR`; Hugging Face's `get_linear_schedule_with_warmup` (`LinearDecay{}` after a warm-up).
/// Throws ConfigError for a length that is not above 0, a start outside [0, 1], and what the schedule refuses.
[[nodiscard]] inline WarmedUp warm_up(AnySchedule schedule, const Length& length, double start = 0) {
  WarmedUp made{std::move(schedule), length, start};
  made.check();
  return made;
}

}  // namespace thaw
