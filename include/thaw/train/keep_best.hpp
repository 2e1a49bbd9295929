#pragma once

#include <optional>

#include <thaw/train/detail/weight_copy.hpp>
#include <thaw/train/monitor.hpp>

namespace thaw {

/// A stage that can only gain: at its end the model has the weights and statistics of its best epoch, or those that the
/// stage began with if no epoch is better. These are validated once, as the stage begins. The copy is in memory, and
/// goes into checkpoints. The optimizer's state stays that of the last step.
///
///     learner.fit(stage, thaw::KeepBest{"accuracy"});
///
/// Throws ConfigError before the stage begins where nothing has the monitor's name, or there is no validation data.
struct KeepBest {
  Monitor monitor = {};

  void on_stage_planned(const StagePlanned& event) const {
    monitor.check(event.learner, "KeepBest");
    if (!event.learner.data().valid || monitor.name == "train_loss")
      throw ConfigError("KeepBest", "what a stage begins with has no " + monitor.name + " to compare with",
                        "watch a number of the validation data, and give LearnerOptions::valid");
  }
  void on_stage_begin(const StageBegin& event) {
    best_ = monitor.value({.valid = event.learner.validate()});
    copy_.emplace(*event.learner.groups().module());
  }
  void on_epoch_end(const EpochEnd& event) {
    const double value = monitor.value(event.record);
    if (!monitor.improves(value, best_)) return;
    best_ = value;
    copy_.emplace(*event.learner.groups().module());
  }
  void on_stage_end(const StageEnd&) {
    if (copy_) copy_->restore();
    copy_.reset();
  }
  void on_run_state(const RunStateVisit& event) {
    event.state("best", best_);
    detail::visit(event.state.in("copy"), copy_, *event.learner.groups().module());
  }

  double best_ = 0;  // run state, from one stage's begin to its end
  std::optional<detail::WeightCopy> copy_ = {};
};

}  // namespace thaw
