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
  void on_stage_begin(const StageBegin&) { best_ = monitor.worst(), bad_epochs_ = 0, cooling_ = 0; }
  void on_epoch_end(const EpochEnd& event) {
    const double value = monitor.value(event.record);
    if (monitor.improves(value, best_))
      best_ = value, bad_epochs_ = 0;
    else
      ++bad_epochs_;
    if (cooling_ > 0) --cooling_, bad_epochs_ = 0;
    if (bad_epochs_ <= patience) return;
    const double scale = event.learner.lr_scale();
    event.learner.scale_lr(std::max(scale * factor, min_scale) / scale);
    cooling_ = cooldown;
    bad_epochs_ = 0;
  }
  void on_run_state(const RunStateVisit& event) {
    event.state("best", best_);
    event.state("bad_epochs", bad_epochs_);
    event.state("cooling", cooling_);
  }

  double best_ = 0;  // run state, from one stage's begin to its end
  std::int64_t bad_epochs_ = 0, cooling_ = 0;
};

}  // namespace thaw
