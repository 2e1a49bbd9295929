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

  void on_stage_planned(const StagePlanned& event) {
    monitor.settle(event.learner, "EarlyStop");
    if (patience < 1)
      throw ConfigError("EarlyStop", "patience is " + std::to_string(patience), "give at least 1 epoch");
  }
  void on_stage_begin(const StageBegin&) { best_ = monitor.worst(), since_best_ = 0; }
  void on_epoch_end(const EpochEnd& event) {
    const double value = monitor.value(event.record);
    if (monitor.improves(value, best_))
      best_ = value, since_best_ = 0;
    else if (++since_best_ >= patience)
      event.learner.stop(monitor.name + " has not become better than " + detail::number(best_) + " for " +
                         std::to_string(since_best_) + (since_best_ == 1 ? " epoch" : " epochs"));
  }
  void on_run_state(const RunStateVisit& event) {
    event.state("best", best_);
    event.state("since_best", since_best_);
  }

  double best_ = 0;  // run state, from one stage's begin to its end
  std::int64_t since_best_ = 0;
};

}  // namespace thaw
