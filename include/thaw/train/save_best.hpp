// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <filesystem>

#include <thaw/core/atomic_file.hpp>
#include <thaw/train/monitor.hpp>

namespace thaw {

/// Saves the Learner (weights, statistics, optimizer) whenever the watched number is the stage's best so far, and goes
/// back to it at the stage's end.
///
///     learner.fit(stage, thaw::SaveBest{"best.pt"});
///
/// With several processes all read the file that the first wrote. Throws ConfigError before the stage begins when
/// nothing has the monitor's name; FileError then when the file's folder is not there, later when it cannot write.
struct SaveBest {
  std::filesystem::path path = "best.pt";
  Monitor monitor = {};
  bool restore = true;  ///< load the best at the stage's end

  struct State {
    double best = 0;
    bool saved = false;
  };

  void on_stage_planned(const StagePlanned& event) {
    monitor.settle(event.learner, "SaveBest");
    detail::check_folder_of(path);
    if (restore) event.sets_weights.emplace_back("SaveBest");
  }
  void on_stage_begin(const StageBegin&, State& now) const { now.best = monitor.worst(); }
  void on_epoch_end(const EpochEnd& event, State& now) const {
    const double value = monitor.value(event.record);
    if (!monitor.improves(value, now.best)) return;
    event.learner.world().together([&] { event.learner.save(path); });  // the first writes, all wait
    now = {.best = value, .saved = true};
  }
  void on_stage_end(const StageEnd& event, State& now) const {
    if (restore && now.saved) event.learner.load(path);
  }
  static void on_run_state(const RunStateVisit& event, State& now) {
    event.state("best", now.best);
    event.state("saved", now.saved);
  }
};

}  // namespace thaw
