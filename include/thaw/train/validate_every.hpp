// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/train/callback.hpp>
#include <thaw/train/learner.hpp>

namespace thaw {

/// Validates within epochs, too: after every so many of an epoch's steps. Its callbacks are told of each validation,
/// and of those that epochs end with, as of an epoch's end: so SaveBest, KeepBest, EarlyStop and ReduceOnPlateau (whose
/// patience then counts validations) and CsvLog act on each. Lightning's `val_check_interval`.
///
///     learner.fit(stage, thaw::ValidateEvery{.steps = 500, .callbacks = {thaw::SaveBest{"best.pt"},
///                                                                        thaw::EarlyStop{.patience = 4}}});
///
/// In such a record `epoch` is the one that runs, `train_loss` that of the last step alone, `seconds` those of the
/// validation. The history keeps a record per epoch, as ever. Weights, the order of the data and random numbers are,
/// bit for bit, those of a run without, unless a callback of its own changes them.
///
/// Throws ConfigError before the stage begins without validation data, for less than 1 step, for a callback that hears
/// of anything else (give it to `fit`), and beside an EMA, whose average the model has at an epoch's end alone.
struct ValidateEvery {
  std::int64_t steps = 500;
  std::vector<Callback> callbacks = {};

  void on_stage_planned(const StagePlanned& event) const;
  void on_stage_begin(const StageBegin& event) const { tell(event); }
  void on_step_end(const StepEnd& event) const;
  void on_epoch_end(const EpochEnd& event) const { tell(event); }
  void on_stage_end(const StageEnd& event) const { tell(event); }
  void on_run_state(const RunStateVisit& event) const;

 private:
  template <class Event>
  static void tell(const Callback& callback, const Event& event) {
    if (!callback.first_process_only() || event.learner.world().is_rank_zero()) callback.on(event);
  }
  template <class Event>
  void tell(const Event& event) const {
    for (const Callback& callback : callbacks) tell(callback, event);
  }
};

}  // namespace thaw

#if THAW_DEFINES(train)

#include <chrono>

#include <thaw/core/random_state.hpp>
#include <thaw/core/seconds_since.hpp>

namespace thaw {

THAW_INLINE void ValidateEvery::on_stage_planned(const StagePlanned& event) const {
  if (steps < 1) throw ConfigError("ValidateEvery", std::to_string(steps) + " steps", "give at least 1");
  if (!event.learner.data().valid)
    throw ConfigError("ValidateEvery", "there is no validation data", "give LearnerOptions::valid");
  for (const Callback& each : callbacks)
    if (each.hears<FitBegin>() || each.hears<EpochBegin>() || each.hears<BatchReady>() || each.hears<LossReady>() ||
        each.hears<GradientsReady>() || each.hears<StepEnd>() || each.hears<EpochTrained>() || each.hears<FitEnd>() ||
        each.hears<LRFindEnd>() || each.hears<SafePoint>())
      throw ConfigError("ValidateEvery", each.name() + " hears of more than validations",
                        "give that callback to fit, beside ValidateEvery");
  event.averages.emplace_back("ValidateEvery");
  tell(event);
}

THAW_INLINE void ValidateEvery::on_step_end(const StepEnd& event) const {
  const std::int64_t per_epoch = event.steps / event.epochs, step = (event.step - 1) % per_epoch + 1;
  if (step % steps != 0 || step == per_epoch) return;
  const auto start = std::chrono::steady_clock::now();
  const RandomState random;
  EpochRecord record{.stage = event.stage,
                     .epoch = event.epoch,
                     .epochs = event.epochs,
                     .steps_done = event.learner.history().steps_done,
                     .lr = {event.lr.begin(), event.lr.end()},
                     .train_loss = event.loss.item<double>(),
                     .valid = event.learner.validate()};
  record.seconds = detail::seconds_since(start);
  tell(EpochEnd{.learner = event.learner, .record = record});
}

THAW_INLINE void ValidateEvery::on_run_state(const RunStateVisit& event) const {
  for (std::size_t i = 0; i < callbacks.size(); ++i) {
    const StateVisitor state = event.state.in(std::to_string(i));
    tell(callbacks[i], RunStateVisit{.learner = event.learner, .state = state, .fitting = event.fitting});
  }
}

}  // namespace thaw

#endif
