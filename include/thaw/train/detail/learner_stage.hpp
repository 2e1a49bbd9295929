#pragma once

// A stage, from top to bottom: members of Learner. Included by thaw/train/learner.hpp alone.

#include <ATen/ops/stack.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>

#include <thaw/core/device_memory.hpp>
#include <thaw/core/names.hpp>
#include <thaw/core/seconds_since.hpp>
#include <thaw/train/detail/plan_text.hpp>
#include <thaw/train/learner.hpp>

namespace thaw {

THAW_INLINE EpochRecord Learner::run(std::span<const Stage> plan, std::vector<Callback> callbacks) {
  refuse_in_callback("fit");
  if (resumed_ && fits_ < resumed_->cursor.fit) return done_before(plan);
  const bool goes_on = resumed_ && resumed_->cursor.in_fit();
  if (goes_on) (void)groups_.freeze(resumed_->cursor.frozen, resumed_->cursor.norm);  // as it was planned
  cursor_ = {.fit = fits_, .frozen = groups_.frozen(), .norm = groups_.norm_rule()};

  callbacks = all_callbacks(std::move(callbacks));
  const std::vector<detail::PlannedStage> planned = prepare(plan, callbacks);
  const Fit fit{.callbacks = &callbacks, .plan = detail::plan_text(groups_, plan, planned)};
  struct Running {
    Learner& learner;
    const std::vector<Callback>& callbacks;
    std::string plan;
    bool begun = false;
    EpochRecord last = {};
    Running(Learner& learner_, const std::vector<Callback>& callbacks_, std::string plan_)
        : learner(learner_), callbacks(callbacks_), plan(std::move(plan_)) {}
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    void end() {
      if (!std::exchange(begun, false)) return;
      learner.fit_plans_.push_back(plan);
      learner.fit_records_.push_back(last);
      learner.cursor_ = {.fit = ++learner.fits_};
    }
    ~Running() {
      end();
      for (const Callback& callback : callbacks) try {
          callback.on(FitEnd{.learner = learner});
        } catch (const std::exception& error) {
          TORCH_WARN("thaw: a callback failed as a fit ended: ", error.what());
        } catch (...) {
          TORCH_WARN("thaw: a callback failed as a fit ended");
        }
      learner.fit_ = nullptr;
      learner.graph_.reset();
    }
  } running{*this, callbacks, detail::in_short(plan)};
  fit_ = &fit;
  if (goes_on) go_on(resumed_.value());  // if it refuses, the program may try again
  resumed_.reset();
  lr_curve_ = lr_curves_.size();
  decision_ = decisions_.size();
  running.begun = true;
  if (!goes_on && std::ranges::any_of(callbacks, &Callback::hears<FitBegin>)) {
    const std::vector<StageDescription> stages = detail::describe(groups_, plan, planned);
    announce(callbacks, FitBegin{.learner = *this, .plan = stages});
  }

  for (auto i = static_cast<std::size_t>(cursor_.stage); i < plan.size(); ++i) {
    detail::RunningStage run{.stage = plan[i],
                             .optimizer = OptimizerGroups(*optimizer_, groups_),
                             .plan = planned[i],
                             .callbacks = callbacks};
    running.last = run_stage(run);
    if (i + 1 == plan.size()) running.end();
    announce(callbacks, SafePoint{.learner = *this, .after = SafePoint::After::stage});
  }
  return running.last;
}

THAW_INLINE EpochRecord Learner::run_stage(detail::RunningStage& run) {
  if (!cursor_.begun) begin(run);
  EpochRecord record{.stage = run.stage.name, .epochs = run.plan.epochs};
  if (cursor_.epoch > 0) record = history_.epochs.back();
  while (cursor_.epoch < run.plan.epochs && !stops()) {
    epoch_start_ = std::chrono::steady_clock::now();
    const PeakMemory memory(device());
    const std::int64_t epoch = cursor_.epoch + 1;
    record = {.stage = run.stage.name, .epoch = epoch, .epochs = run.plan.epochs};
    record.train_loss = train_epoch(run);
    record.steps_done = history_.steps_done;
    record.lr = cursor_.lr;
    announce(run.callbacks, EpochTrained{.learner = *this, .epoch = epoch, .epochs = run.plan.epochs});
    if (data_.valid) record.valid = validate_stage(run);
    record.seconds = std::exchange(cursor_.seconds, 0) + detail::seconds_since(epoch_start_);
    record.peak_memory = memory.bytes();
    history_.epochs.push_back(record);
    cursor_.epoch = epoch;
    announce(run.callbacks, EpochEnd{.learner = *this, .record = record});
    announce(run.callbacks, SafePoint{.learner = *this, .after = SafePoint::After::epoch});
  }
  if (grad_scaler_) grad_scaler_->settle();
  if (stop_) {
    record.stop = *stop_;
    if (record.epoch > 0) history_.epochs.back().stop = *stop_;  // else it was stopped before its first epoch
  }
  announce(run.callbacks,
           StageEnd{.learner = *this, .record = history_.stages.back(), .history = history_, .stop = record.stop});
  stop_.reset();
  cursor_ = {.fit = cursor_.fit, .stage = cursor_.stage + 1, .frozen = cursor_.frozen, .norm = cursor_.norm};
  return record;
}

/// Validation as a stage goes on, on kept features where there are some.
THAW_INLINE Evaluation Learner::validate_stage(const detail::RunningStage& run) {
  share_buffers();  // of averaged weights, say
  groups_.eval();
  const bool kept = run.split && run.split->kept();
  BatchStream next = kept ? run.split->valid.stream() : data_.valid.stream(0, 0, world_.shard());
  return detail::evaluate(run.split ? run.split->task : task_, metrics_, std::move(next), device(), world_);
}

// ---- before a stage ----

THAW_INLINE std::int64_t Learner::batches_per_step(const std::vector<Callback>& callbacks) {
  std::int64_t batches = 1;
  std::vector<std::string> sets_weights;
  tell(callbacks, StagePlanned{.learner = *this, .batches_per_step = batches, .sets_weights = sets_weights});
  if (sets_weights.size() > 1)
    throw ConfigError("callbacks", join_names(sets_weights) + " each put other weights into the model as a stage ends",
                      "take one of them, or run the second in a stage of its own");
  if (batches < 1)
    throw ConfigError("callbacks", "they ask for " + std::to_string(batches) + " batches per step", "take at least 1");
  return batches;
}

/// Finds everything that can be found wrong, and changes nothing.
THAW_INLINE std::vector<detail::PlannedStage> Learner::prepare(std::span<const Stage> plan,
                                                               const std::vector<Callback>& callbacks) {
  if (plan.empty()) throw ConfigError("Learner::fit", "the plan has no stages", "give at least one");
  groups_.check_current();
  const std::int64_t per_step = batches_per_step(callbacks);
  check_graphs(callbacks);
  std::vector<detail::PlannedStage> planned;
  for (const Stage& stage : plan) {
    const std::string where = "stage \"" + stage.name + "\"";
    if (stage.epochs < 1) throw ConfigError(where, std::to_string(stage.epochs) + " epochs", "train at least 1");
    stage.schedule.check();
    if (stage.freeze) stage.freeze.check(names_of(groups_));
    std::vector<double> peak_lr = stage.lr(groups_.size());
    check_data();
    const detail::PlannedStage* before = planned.empty() ? nullptr : &planned.back();
    detail::PlannedStage now{
        .peak_lr = std::move(peak_lr),
        .frozen = {{.step = 0, .frozen = before ? before->frozen.back().frozen : groups_.frozen()}},
        .norm = stage.norm.over(before ? before->norm : groups_.norm_rule()),
        .epochs = stage.epochs,
        .steps_per_epoch = (data_.train.batches() + per_step - 1) / per_step,
        .batches_per_step = per_step};
    if (stage.freeze) now.frozen = detail::frozen_over(stage.freeze, groups_, now.steps(), now.steps_per_epoch);
    detail::check_trains(groups_, now, where);
    detail::check_schedule(stage.schedule, now, where);
    check_last_batch(now, where);
    if (stage.cache && stage.cache.required) check_cache(stage, now, where);
    planned.push_back(std::move(now));
  }
  return planned;
}

THAW_INLINE std::vector<StageDescription> Learner::described(std::span<const Stage> plan,
                                                             const std::vector<Callback>& callbacks) {
  const RandomState random;
  const TrainingFlags flags{*groups_.module()};
  const std::shared_ptr<void> tried = sanity_check_only();
  return detail::describe(groups_, plan, prepare(plan, callbacks));
}

THAW_INLINE void Learner::begin(detail::RunningStage& run) {
  stop_.reset();
  lr_scale_ = 1;
  if (grad_scaler_) grad_scaler_->forget_skipped();
  optimizer_->zero_grad();  // a step that an exception ended may have left some
  if (run.stage.reset_optimizer) forget_state(*optimizer_);
  // Always: another Learner, or the caller, may have frozen and thawed parts of the model meanwhile.
  forget_state(*optimizer_, groups_.freeze(run.plan.frozen_at(0), run.plan.norm));
  cursor_.begun = true;
  cursor_.momentum = run.optimizer.momentum();
  history_.stages.push_back(
      {.name = run.stage.name, .first_step = history_.steps_done, .steps = 0, .frozen = groups_.frozen()});
  const std::vector<GroupPlan> groups = detail::group_plan(groups_, run.plan);
  announce(run.callbacks, StageBegin{.learner = *this,
                                     .stage = run.stage.name,
                                     .epochs = run.plan.epochs,
                                     .steps_per_epoch = run.plan.steps_per_epoch,
                                     .groups = groups});
}

// ---- an epoch ----

/// Returns the mean training loss over the epoch's samples.
THAW_INLINE double Learner::train_epoch(detail::RunningStage& run) {
  const std::int64_t epoch = cursor_.epoch + 1;
  const bool begins = !cursor_.in_epoch();
  if (begins) set_frozen(run);  // so that on_epoch_begin sees what the epoch trains
  groups_.train();
  update_split(run);
  if (begins)
    announce(run.callbacks,
             EpochBegin{.learner = *this, .stage = run.stage.name, .epoch = epoch, .epochs = run.plan.epochs});
  const detail::SplitModel* split = run.split.get();
  BatchStream next = pass(split, epoch, run.plan.batches_per_step);
  while (std::optional<Drawn> drawn = draw(next)) {
    set_hyper(run);  // only now that there is a step to come: validation sees the groups as they were trained
    const std::optional<StepLoss> done = step(split, std::move(drawn), next, run.plan.batches_per_step, run.callbacks);
    if (!done) break;
    cursor_.losses.push_back(done->loss);
    cursor_.samples.push_back(done->skipped ? 0 : static_cast<double>(done->samples));
    ++cursor_.step;
    history_.add({.lr = cursor_.lr, .momentum = cursor_.momentum});
    ++history_.stages.back().steps;
    announce(run.callbacks, StepEnd{.learner = *this,
                                    .stage = run.stage.name,
                                    .epoch = epoch,
                                    .epochs = run.plan.epochs,
                                    .step = cursor_.step,
                                    .steps = run.plan.steps(),
                                    .lr = cursor_.lr,
                                    .loss = done->loss,
                                    .momentum = cursor_.momentum});
    if (cursor_.losses.size() == 1024) read_losses();  // seldom enough for a device, often enough for the memory
    announce(run.callbacks, SafePoint{.learner = *this, .after = SafePoint::After::step});
  }
  share_buffers();
  return mean_loss(epoch);
}

/// The batches of the epoch that begins, or what is left of the one that goes on.
THAW_INLINE BatchStream Learner::pass(const detail::SplitModel* split, std::int64_t epoch,
                                      std::int64_t batches_per_step) {
  const bool kept = split && split->kept();
  const DataSource& source =
      kept ? split->train[static_cast<std::size_t>(epoch - 1) % split->train.size()] : data_.train;
  const Shard shard = kept ? Shard{} : world_.shard();  // what is kept is of this process's samples
  if (!cursor_.in_epoch()) {
    const std::shared_ptr<void> common = common_random();
    cursor_.pass = source.begun_from();
    if (cursor_.pass.empty()) cursor_.pass = generator_states();
    return source.stream(epochs_begun_++, 0, shard);
  }
  source.restart();
  const RandomState random;
  set_generator_states(cursor_.pass);
  return source.stream(epochs_begun_ - 1, cursor_.epoch_steps() * batches_per_step, shard);
}

/// Waits for the device; the losses of the epoch's last steps go into the history and into its sums.
THAW_INLINE void Learner::read_losses() {
  const std::vector<at::Tensor> losses = std::exchange(cursor_.losses, {});
  const std::vector<double> samples = std::exchange(cursor_.samples, {});
  if (losses.empty()) return;
  const at::Tensor values = at::stack(losses).to(at::kCPU, at::kDouble);
  const std::int64_t first = history_.steps_done - std::ssize(losses);
  for (std::size_t i = 0; i < losses.size(); ++i) {
    const double loss = values.data_ptr<double>()[i];
    if (StepRecord* record = history_.find(first + static_cast<std::int64_t>(i))) record->loss = loss;
    if (samples[i] == 0) continue;  // the step was left out
    cursor_.loss_sum += samples[i] * loss;
    cursor_.sample_sum += samples[i];
  }
  cursor_.read += std::ssize(losses);
}

/// The mean over the samples of the epoch that ends.
THAW_INLINE double Learner::mean_loss(std::int64_t epoch) {
  read_losses();
  const std::int64_t steps = std::exchange(cursor_.read, 0);
  const double sum = std::exchange(cursor_.loss_sum, 0), samples = std::exchange(cursor_.sample_sum, 0);
  if (steps > 0) return sum / samples;
  if (stop_) return std::numeric_limits<double>::quiet_NaN();
  throw DataError("training data", "epoch " + std::to_string(epoch) + " gave no batches, the first pass did",
                  "give a source that can be run through more than once");
}

/// Freezes and thaws as the stage says for the step that comes.
THAW_INLINE void Learner::set_frozen(const detail::RunningStage& run) {
  const std::vector<bool>& frozen = run.plan.frozen_at(run.at(cursor_.step).step);
  if (!run.stage.freeze || frozen == groups_.frozen()) return;
  forget_state(*optimizer_, groups_.freeze(frozen, run.plan.norm));
  groups_.train();
}

/// Freezes, thaws, and sets rates and momentum for the step that comes.
THAW_INLINE void Learner::set_hyper(detail::RunningStage& run) {
  set_frozen(run);
  if (grad_scaler_) cursor_.skipped += grad_scaler_->skipped();
  ScheduleValue value = run.stage.schedule(run.at(cursor_.step - cursor_.skipped));
  value.lr *= lr_scale_;
  run.optimizer.set(value, run.plan.peak_lr);
  if (value.momentum && cursor_.momentum) cursor_.momentum = value.momentum;
  cursor_.lr = run.plan.peak_lr;  // what the records show
  for (std::size_t i = 0; i < cursor_.lr.size(); ++i)
    cursor_.lr[i] *= groups_.frozen()[i] && groups_.norm_rule().frozen != Norm::train ? 0 : value.lr;
}

}  // namespace thaw
