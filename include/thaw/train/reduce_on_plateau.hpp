// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include <thaw/train/monitor.hpp>

namespace thaw {

/// Multiplies all rates by `factor` when the watched number has not become better for more than `patience` epochs;
/// then waits `cooldown` epochs before it counts again. On top of the stage's schedule, so take Constant with it.
/// Source: torch.optim.lr_scheduler.ReduceLROnPlateau (threshold_mode "abs" is Monitor::min_delta).
struct ReduceOnPlateau {
  Monitor monitor = {};
  double factor = 0.1;
  std::int64_t patience = 10;
  std::int64_t cooldown = 0;
  double min_scale = 0;  ///< never below this fraction of the stage's own rates

  struct State {
    double best = 0;
    std::int64_t bad_epochs = 0, cooling = 0;
  };

  void on_stage_planned(const StagePlanned& event) {
    monitor.settle(event.learner, "ReduceOnPlateau");
    if (!(factor > 0 && factor < 1))
      throw ConfigError("ReduceOnPlateau", "factor is " + detail::number(factor), "give a number between 0 and 1");
    if (!(min_scale >= 0 && min_scale <= 1))
      throw ConfigError("ReduceOnPlateau", "min_scale is " + detail::number(min_scale), "give a number from 0 to 1");
    if (patience < 0 || cooldown < 0)
      throw ConfigError("ReduceOnPlateau",
                        "patience is " + std::to_string(patience) + ", cooldown " + std::to_string(cooldown),
                        "give 0 epochs or more");
  }
  void on_stage_begin(const StageBegin&, State& now) const { now.best = monitor.worst(); }
  void on_epoch_end(const EpochEnd& event, State& now) const {
    const double value = monitor.value(event.record);
    if (monitor.improves(value, now.best))
      now.best = value, now.bad_epochs = 0;
    else
      ++now.bad_epochs;
    if (now.cooling > 0) --now.cooling, now.bad_epochs = 0;
    if (now.bad_epochs <= patience) return;
    const double scale = event.learner.lr_scale();
    event.learner.scale_lr(std::max(scale * factor, min_scale) / scale);
    now.cooling = cooldown;
    now.bad_epochs = 0;
  }
  static void on_run_state(const RunStateVisit& event, State& now) {
    event.state("best", now.best);
    event.state("bad_epochs", now.bad_epochs);
    event.state("cooling", now.cooling);
  }
};

}  // namespace thaw
