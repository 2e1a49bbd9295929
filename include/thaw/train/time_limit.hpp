// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <chrono>

#include <thaw/core/error.hpp>
#include <thaw/core/seconds_since.hpp>
#include <thaw/train/learner.hpp>

namespace thaw {

/// Ends a stage after the step at which it has taken so long, validations and processes that it was resumed from
/// included. Where it ends in the middle of an epoch, that is validated all the same. With several processes the first
/// that is late ends the stage for all.
///
///     learner.fit(stage, thaw::TimeLimit{.minutes = 20}, thaw::KeepBest{"accuracy"});
///
/// The schedule is not shortened: a one-cycle that is cut off has not brought the rate down. For a budget that is
/// planned for, see Recipe::minutes.
struct TimeLimit {
  double minutes = 60;

  struct State {
    double seconds_before = 0;  // in processes that it was resumed from
    std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
    [[nodiscard]] double seconds() const { return seconds_before + detail::seconds_since(begin); }
  };

  void on_stage_planned(const StagePlanned&) const {
    if (!(minutes > 0)) throw ConfigError("TimeLimit", detail::number(minutes) + " minutes", "give more than 0");
  }
  void on_step_end(const StepEnd& event, const State& now) const {
    if (now.seconds() > 60 * minutes) event.learner.stop("it took longer than " + detail::number(minutes) + " minutes");
  }
  static void on_run_state(const RunStateVisit& event, State& now) {
    double seconds = now.seconds();
    event.state("seconds", seconds);
    if (event.state.reading()) now = {.seconds_before = seconds};
  }
};

}  // namespace thaw
