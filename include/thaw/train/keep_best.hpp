// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/train/detail/visit_history.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/monitor.hpp>
#include <thaw/train/weight_copy.hpp>

namespace thaw {

/// A stage that can only gain: at its end the model has the weights and statistics of its best epoch, or those that the
/// stage began with if no epoch is better. These are validated once, as the stage begins. The copies are in memory, and
/// go into checkpoints. The optimizer's state stays that of the last step.
///
///     learner.fit(stage, thaw::KeepBest{"accuracy"});
///     learner.fit(stage, thaw::KeepBest{.monitor = "accuracy", .line = 3});
///
/// With `line`, so many points on the straight line from the weights w0 that the stage began with to its last ones w1
/// are validated as well, w0 + t (w1 - w0) at t = 1/4, 1/2, 3/4 for three. Between a pretrained network and what
/// fine-tuning made of it both what was known and what was learnt are there, and the best point is often better than
/// either end. Source: Wortsman et al. 2021, WiSE-FT, arXiv:2109.01903.
///
/// Of equal values, as an accuracy on few samples often is, the one with the lower validation loss is better. Throws
/// ConfigError before the stage begins where nothing has the monitor's name, there is no validation data, or `line` is
/// negative.
struct KeepBest {
  Monitor monitor = {};
  std::int64_t line = 0;  ///< points to try between the stage's begin and its end
  /// What the weights that the stage begins with give on its validation data: where this is known, they are not
  /// validated again.
  std::optional<Evaluation> as_it_begins = {};
  /// Hears, as the stage ends, what was kept: in words, and what it gives on the validation data.
  std::function<void(const std::string& what, const Evaluation& valid)> on_kept = {};

  struct State {
    Evaluation best = {};
    std::string what = {};  // where it is from
    std::optional<WeightCopy> copy = {}, begin = {};
  };

  void on_stage_planned(const StagePlanned& event);
  void on_stage_begin(const StageBegin& event, State& now) const;
  void on_epoch_end(const EpochEnd& event, State& now) const;
  void on_stage_end(const StageEnd& event, State& now) const;
  static void on_run_state(const RunStateVisit& event, State& now);

 private:
  /// Keeps the weights as they are, where they are better.
  void offer(const Learner& learner, std::string what, const Evaluation& valid, State& now) const;
  static void keep(const Learner& learner, std::string what, const Evaluation& valid, State& now);
};

}  // namespace thaw

#if THAW_DEFINES(train)

namespace thaw {

THAW_INLINE void KeepBest::on_stage_planned(const StagePlanned& event) {
  monitor.settle(event.learner, "KeepBest");
  event.sets_weights.emplace_back("KeepBest");
  if (line < 0) throw ConfigError("KeepBest", "line is " + std::to_string(line), "give 0 points or more");
  if (!event.learner.data().valid || monitor.name == "train_loss")
    throw ConfigError("KeepBest", "what a stage begins with has no " + monitor.name + " to compare with",
                      "watch a number of the validation data, and give LearnerOptions::valid");
}

THAW_INLINE void KeepBest::on_stage_begin(const StageBegin& event, State& now) const {
  keep(event.learner, "as it began", as_it_begins ? *as_it_begins : event.learner.validate(), now);
  if (line > 0) now.begin.emplace(*event.learner.groups().module());
}

THAW_INLINE void KeepBest::on_epoch_end(const EpochEnd& event, State& now) const {
  if (event.record.valid) offer(event.learner, "epoch " + std::to_string(event.record.epoch), *event.record.valid, now);
}

THAW_INLINE void KeepBest::on_stage_end(const StageEnd& event, State& now) const {
  if (now.begin) {
    const WeightCopy end(*event.learner.groups().module());
    for (std::int64_t i = 1; i <= line; ++i) {
      const double t = static_cast<double>(i) / static_cast<double>(line + 1);
      now.begin->restore_between(end, t);
      offer(event.learner, detail::number(t) + " of the way from its begin to its end", event.learner.validate(), now);
    }
  }
  if (now.copy) now.copy->restore();
  if (now.copy) {
    const double value = monitor.value({.valid = now.best});
    event.learner.note("kept: " + now.what +
                       (std::isnan(value) ? "" : ", " + monitor.name + " " + detail::number(value)));
    if (on_kept) on_kept(now.what, now.best);
  }
  now = {};
}

THAW_INLINE void KeepBest::on_run_state(const RunStateVisit& event, State& now) {
  std::vector<EpochRecord> best{{.stage = now.what, .valid = now.best}};
  detail::visit(event.state.in("best"), best);
  if (event.state.reading() && !best.empty()) now.what = best[0].stage, now.best = best[0].valid.value_or(Evaluation());
  detail::visit(event.state.in("copy"), now.copy, *event.learner.groups().module());
  detail::visit(event.state.in("begin"), now.begin, *event.learner.groups().module());
}

THAW_INLINE void KeepBest::offer(const Learner& learner, std::string what, const Evaluation& valid, State& now) const {
  const double value = monitor.value({.valid = valid}), best = monitor.value({.valid = now.best});
  const bool better = std::isnan(best) ? !std::isnan(value)
                                       : monitor.improves(value, best) || (value == best && valid.loss < now.best.loss);
  if (better) keep(learner, std::move(what), valid, now);
}

THAW_INLINE void KeepBest::keep(const Learner& learner, std::string what, const Evaluation& valid, State& now) {
  now.best = valid;
  now.what = std::move(what);
  now.copy.emplace(*learner.groups().module());
}

}  // namespace thaw

#endif
