// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The loop: a stage's epochs, an epoch's steps.

#include <ATen/ops/stack.h>
#include <c10/util/ScopeExit.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/device_memory.hpp>
#include <thaw/core/seconds_since.hpp>
#include <thaw/train/detail/control.hpp>
#include <thaw/train/detail/frozen_part.hpp>
#include <thaw/train/detail/running_stage.hpp>
#include <thaw/train/detail/step_engine.hpp>
#include <thaw/train/detail/training_data.hpp>

namespace thaw::detail {

/// Runs stages. Owns the place where the run is.
class StageLoop {
 public:
  StageLoop(Learner& learner, Setup& setup, Control& control, TrainingData& data, StepEngine& engine, History& history)
      : learner_(learner),
        setup_(setup),
        control_(control),
        data_(data),
        engine_(engine),
        history_(history),
        frozen_part_(setup, data) {}

  TrainingCursor cursor = {};

  /// Runs what is left of a stage, and returns its last epoch.
  EpochRecord run_stage(RunningStage& run);
  /// Tells callbacks that the run can be resumed from here, and lets them ask for its state.
  void safe_point(const std::vector<Callback>& callbacks, SafePoint::After after);
  [[nodiscard]] bool at_safe_point() const { return at_safe_point_; }
  /// The running epoch's seconds so far.
  [[nodiscard]] double seconds() const { return cursor.in_epoch() ? seconds_since(epoch_start_) : 0; }

 private:
  void begin(RunningStage& run);
  double train_epoch(RunningStage& run);
  Evaluation validate(const RunningStage& run);
  BatchStream pass(const RunningStage& run, std::int64_t epoch);
  void record(const RunningStage& run, std::int64_t epoch, const StepLoss& done);
  void set_frozen(const RunningStage& run);
  void set_hyper(RunningStage& run);
  void read_losses();
  double mean_loss(std::int64_t epoch);
  template <class Event>
  void announce(const RunningStage& run, const Event& event) const {
    detail::announce(setup_.world, run.callbacks, event);
  }

  Learner& learner_;
  Setup& setup_;
  Control& control_;
  TrainingData& data_;
  StepEngine& engine_;
  History& history_;
  FrozenPart frozen_part_;
  bool at_safe_point_ = false;
  std::chrono::steady_clock::time_point epoch_start_ = {};
};

}  // namespace thaw::detail

#if THAW_DEFINES(train)

namespace thaw::detail {

THAW_INLINE EpochRecord StageLoop::run_stage(RunningStage& run) {
  std::optional<OwnWeightDecays> own_decays;
  if (run.stage.weight_decay) own_decays.emplace(*setup_.optimizer);
  if (cursor.begun)
    control_.go_on();
  else
    begin(run);
  EpochRecord record{.stage = run.stage.name,
                     .epochs = run.plan.epochs,
                     .train_loss = std::numeric_limits<double>::quiet_NaN()};  // where it is stopped before its first
  if (cursor.epoch > 0) record = history_.epochs.back();
  while (cursor.epoch < run.plan.epochs && !control_.agree_on_stop()) {
    epoch_start_ = std::chrono::steady_clock::now();
    const PeakMemory memory(setup_.device());
    const std::int64_t epoch = cursor.epoch + 1;
    record = {.stage = run.stage.name, .epoch = epoch, .epochs = run.plan.epochs};
    record.train_loss = train_epoch(run);
    record.steps_done = history_.steps_done;
    record.lr = cursor.lr;
    for (std::size_t i = 0; i < cursor.lr.size(); ++i)
      record.norms_only.push_back(setup_.groups.frozen()[i] && cursor.lr[i] > 0);
    announce(run, EpochTrained{.learner = learner_, .epoch = epoch, .epochs = run.plan.epochs});
    if (data_.valid()) record.valid = validate(run);
    record.seconds = std::exchange(cursor.seconds, 0) + seconds_since(epoch_start_);
    record.peak_memory = memory.bytes();
    history_.epochs.push_back(record);
    cursor.epoch = epoch;
    announce(run, EpochEnd{.learner = learner_, .record = record});
    safe_point(run.callbacks, SafePoint::After::epoch);
  }
  engine_.settle();
  if (control_.stopped()) {
    record.stop = control_.reason();
    if (record.epoch > 0) history_.epochs.back().stop = record.stop;  // else it was stopped before its first epoch
  }
  announce(run,
           StageEnd{.learner = learner_, .record = history_.stages.back(), .history = history_, .stop = record.stop});
  control_.end();
  cursor = {.fit = cursor.fit, .stage = cursor.stage + 1, .frozen = cursor.frozen, .norm = cursor.norm};
  return record;
}

THAW_INLINE void StageLoop::safe_point(const std::vector<Callback>& callbacks, SafePoint::After after) {
  at_safe_point_ = true;
  const auto over = c10::make_scope_exit([&] { at_safe_point_ = false; });
  detail::announce(setup_.world, callbacks, SafePoint{.learner = learner_, .after = after});
}

THAW_INLINE void StageLoop::begin(RunningStage& run) {
  torch::optim::Optimizer& optimizer = *setup_.optimizer;
  control_.begin();
  engine_.forget_overflowed();
  optimizer.zero_grad();  // a step that an exception ended may have left some
  if (run.stage.reset_optimizer) forget_state(optimizer);
  // Always: another Learner, or the caller, may have frozen and thawed parts of the model meanwhile.
  forget_state(optimizer, setup_.groups.freeze(run.plan.frozen_at(0), run.plan.norm));
  cursor.begun = true;
  cursor.momentum = run.optimizer.momentum();
  history_.stages.push_back({.name = run.stage.name,
                             .first_step = history_.steps_done,
                             .frozen = setup_.groups.frozen(),
                             .notes = run.stage.why});
  const std::vector<GroupPlan> groups = group_plan(setup_.groups, run.plan);
  for (const GroupPlan& group : groups) history_.stages.back().lr.push_back(group.lr);
  announce(run, StageBegin{.learner = learner_,
                           .stage = run.stage.name,
                           .epochs = run.plan.epochs,
                           .steps_per_epoch = run.plan.steps_per_epoch,
                           .groups = groups});
}

/// Returns the mean training loss over the epoch's samples.
THAW_INLINE double StageLoop::train_epoch(RunningStage& run) {
  const std::int64_t epoch = cursor.epoch + 1;
  const bool begins = !cursor.in_epoch();
  if (begins) set_frozen(run);  // so that on_epoch_begin sees what the epoch trains
  setup_.groups.train();
  frozen_part_.update(run, cursor, history_.stages.back().frozen_part);
  if (begins)
    announce(run, EpochBegin{.learner = learner_, .stage = run.stage.name, .epoch = epoch, .epochs = run.plan.epochs});
  const bool trains = setup_.groups.module()->is_training();  // a callback may have said otherwise for this epoch
  const StepKind kind{.split = run.split.get(), .batches = run.plan.batches_per_step, .callbacks = run.callbacks};
  BatchStream next = pass(run, epoch);
  while (std::optional<Drawn> drawn = control_.draw(next)) {
    // A callback that called the module's own eval() or train() switched off, or woke, what the stage trains or holds.
    if (trains && !setup_.groups.module()->is_training()) setup_.groups.train();
    setup_.groups.hold_norms();
    set_hyper(run);  // only now that there is a step to come: validation sees the groups as they were trained
    const std::optional<StepLoss> done = engine_.step(kind, std::move(drawn), next);
    if (!done) break;
    record(run, epoch, *done);
  }
  setup_.share_buffers();
  return mean_loss(epoch);
}

THAW_INLINE void StageLoop::record(const RunningStage& run, std::int64_t epoch, const StepLoss& done) {
  cursor.losses.push_back(done.loss);
  cursor.samples.push_back(done.skipped ? 0 : static_cast<double>(done.samples));
  ++cursor.step;
  history_.add({.lr = cursor.lr, .momentum = cursor.momentum});
  ++history_.stages.back().steps;
  announce(run, StepEnd{.learner = learner_,
                        .stage = run.stage.name,
                        .epoch = epoch,
                        .epochs = run.plan.epochs,
                        .step = cursor.step,
                        .steps = run.plan.steps(),
                        .lr = cursor.lr,
                        .loss = done.loss,
                        .momentum = cursor.momentum});
  if (cursor.losses.size() == 1024) read_losses();  // seldom enough for a device, often enough for the memory
  safe_point(run.callbacks, SafePoint::After::step);
}

/// On kept features where there are some.
THAW_INLINE Evaluation StageLoop::validate(const RunningStage& run) {
  setup_.share_buffers();  // of averaged weights, say
  setup_.groups.eval();
  const bool kept = run.split && run.split->kept();
  BatchStream next = kept ? run.split->valid.stream() : data_.valid().stream(0, 0, setup_.world.shard());
  const Task task = setup_.in_words(run.split ? run.split->task : setup_.task, "validation data");
  return evaluate(task, setup_.metrics, std::move(next), setup_.device(), setup_.world, data_.valid().classes());
}

/// The batches of the epoch that begins, or what is left of the one that goes on.
THAW_INLINE BatchStream StageLoop::pass(const RunningStage& run, std::int64_t epoch) {
  const bool kept = run.split && run.split->kept();
  const DataSource& source =
      kept ? run.split->train[static_cast<std::size_t>(epoch - 1) % run.split->train.size()] : data_.train();
  const Shard shard = kept ? Shard{} : setup_.world.shard();  // what is kept is of this process's samples
  const auto from = [&](std::int64_t i) {
    BatchStream rest = source.stream(data_.epochs_begun() - 1, i, shard);
    if (!run.stage.max_batches) return rest;
    return of_length(std::move(rest), i, std::min(*run.stage.max_batches, source.batches()), /*ends_there=*/true);
  };
  if (!cursor.in_epoch()) {
    const CommonRandom common(setup_.world);
    cursor.pass = source.begun_from();
    if (cursor.pass.empty()) cursor.pass = generator_states();
    data_.begin_epoch();
    return from(0);
  }
  source.restart();
  const RandomState random;
  set_generator_states(cursor.pass);
  return from(cursor.epoch_steps() * run.plan.batches_per_step);
}

/// Freezes and thaws as the stage says for the step that comes.
THAW_INLINE void StageLoop::set_frozen(const RunningStage& run) {
  LayerGroups& groups = setup_.groups;
  const std::vector<bool>& frozen = run.plan.frozen_at(run.at(cursor.step).step);
  if (!run.stage.freeze || frozen == groups.frozen()) return;
  if (groups.frozen() != run.plan.frozen_at(run.at(std::max<std::int64_t>(cursor.step - 1, 0)).step))
    throw ConfigError(name_of(run.stage), "a callback froze or thawed layer groups, which its own policy would undo",
                      "leave Stage::freeze out, so that what is frozen stays as it was left, or write a policy");
  forget_state(*setup_.optimizer, groups.freeze(frozen, run.plan.norm));
  groups.train();
}

/// Freezes, thaws, and sets rates and momentum for the step that comes.
THAW_INLINE void StageLoop::set_hyper(RunningStage& run) {
  set_frozen(run);
  cursor.skipped += engine_.overflowed();
  const ScheduleValue value = run.set_hyper(run.at(cursor.step - cursor.skipped), control_.lr_scale());
  if (value.momentum && cursor.momentum) cursor.momentum = value.momentum;
  cursor.lr = run.plan.peak_lr;  // what the records show
  const LayerGroups& groups = setup_.groups;
  for (std::size_t i = 0; i < cursor.lr.size(); ++i)
    cursor.lr[i] *=
        groups.frozen()[i] && (groups.norm_rule().frozen != Norm::train || groups[i].norms.empty()) ? 0 : value.lr;
}

/// Waits for the device; the losses of the epoch's last steps go into the history and into its sums.
THAW_INLINE void StageLoop::read_losses() {
  const std::vector<at::Tensor> losses = std::exchange(cursor.losses, {});
  const std::vector<double> samples = std::exchange(cursor.samples, {});
  if (losses.empty()) return;
  const at::Tensor values = at::stack(losses).to(at::kCPU, at::kDouble);
  const std::int64_t first = history_.steps_done - std::ssize(losses);
  for (std::size_t i = 0; i < losses.size(); ++i) {
    const double loss = values.data_ptr<double>()[i];
    if (StepRecord* step = history_.find(first + static_cast<std::int64_t>(i))) step->loss = loss;
    if (samples[i] == 0) continue;  // the step was left out
    cursor.loss_sum += samples[i] * loss;
    cursor.sample_sum += samples[i];
  }
  cursor.read += std::ssize(losses);
}

/// The mean over the samples of the epoch that ends.
THAW_INLINE double StageLoop::mean_loss(std::int64_t epoch) {
  read_losses();
  const std::int64_t steps = std::exchange(cursor.read, 0);
  const double sum = std::exchange(cursor.loss_sum, 0), samples = std::exchange(cursor.sample_sum, 0);
  if (steps > 0) return sum / samples;
  if (control_.stopped()) return std::numeric_limits<double>::quiet_NaN();
  throw DataError("training data", "epoch " + std::to_string(epoch) + " gave no batches, the first pass did",
                  "give a source that can be run through more than once");
}

}  // namespace thaw::detail

#endif
