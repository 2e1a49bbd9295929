// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <string>

#include <thaw/train/monitor.hpp>

namespace thaw {

/// Ends the stage when the watched number has not become better for `patience` epochs in a row.
///
///     learner.fit(stage, thaw::EarlyStop{.monitor = "accuracy", .patience = 2});
///
/// Throws ConfigError before the stage begins when nothing has the monitor's name.
struct EarlyStop {
  Monitor monitor = {};
  std::int64_t patience = 3;

  struct State {
    double best = 0;
    std::int64_t since_best = 0;
  };

  void on_stage_planned(const StagePlanned& event) {
    monitor.settle(event.learner, "EarlyStop");
    if (patience < 1)
      throw ConfigError("EarlyStop", "patience is " + std::to_string(patience), "give at least 1 epoch");
  }
  void on_stage_begin(const StageBegin&, State& now) const { now.best = monitor.worst(); }
  void on_epoch_end(const EpochEnd& event, State& now) const {
    const double value = monitor.value(event.record);
    if (monitor.improves(value, now.best))
      now = {.best = value};
    else if (++now.since_best >= patience)
      event.learner.stop(monitor.name + " has not become better than " + detail::number(now.best) + " for " +
                         std::to_string(now.since_best) + (now.since_best == 1 ? " epoch" : " epochs"));
  }
  static void on_run_state(const RunStateVisit& event, State& now) {
    event.state("best", now.best);
    event.state("since_best", now.since_best);
  }
};

}  // namespace thaw
