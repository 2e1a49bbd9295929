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

  void on_stage_planned(const StagePlanned& event) {
    monitor.settle(event.learner, "SaveBest");
    detail::check_folder_of(path);
    if (restore) event.sets_weights.emplace_back("SaveBest");
  }
  void on_stage_begin(const StageBegin&) { best_ = monitor.worst(), saved_ = false; }
  void on_epoch_end(const EpochEnd& event) {
    const double value = monitor.value(event.record);
    if (!monitor.improves(value, best_)) return;
    event.learner.world().together([&] { event.learner.save(path); });  // the first writes, all wait
    best_ = value, saved_ = true;
  }
  void on_stage_end(const StageEnd& event) const {
    if (restore && saved_) event.learner.load(path);
  }
  void on_run_state(const RunStateVisit& event) {
    event.state("best", best_);
    event.state("saved", saved_);
  }

  double best_ = 0;  // run state, from one stage's begin to its end
  bool saved_ = false;
};

}  // namespace thaw
