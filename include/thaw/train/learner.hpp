// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/optim/optimizer.h>

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/find/lr_finder.hpp>
#include <thaw/groups/freeze.hpp>
#include <thaw/groups/optimizer_groups.hpp>
#include <thaw/optim/adamw.hpp>
#include <thaw/train/detail/task.hpp>
#include <thaw/train/frozen_split.hpp>
#include <thaw/train/history.hpp>
#include <thaw/train/learner_options.hpp>
#include <thaw/train/plan.hpp>
#include <thaw/train/run_state.hpp>
#include <thaw/train/stage.hpp>
#include <thaw/train/until_overfit.hpp>
#include <thaw/train/world.hpp>

namespace thaw {

namespace detail {
struct LearnerParts;
}

/// Trains a model in stages. Holds the model, its layer groups, one optimizer over all of them, data, and the history.
///
/// A plan is checked as a whole before anything is changed. Losses stay on the device until an epoch ends or a
/// callback reads them. Batches are moved to the device of the model's first parameter.
/// With several processes (LearnerOptions::world) all begin with the weights of the first, each trains on its shard of
/// every batch, and losses, metrics and what ends a stage are those of all of them together: a program gives what it
/// gives alone, up to rounding. Every process makes the same calls; `predict` and `load` ask no other.
class Learner {
 public:
  /// `model`: a ModuleHolder or shared_ptr whose `forward` takes one tensor, several, or a struct or dictionary of
  /// them, and returns a tensor or a struct of them. `loss(output, target)` returns a scalar tensor, a mean over
  /// samples; it may offer `check(output, targets)`, which throws DataError before training.
  template <class Model, class Loss>  // NOLINTNEXTLINE(performance-unnecessary-value-param): a handle
  Learner(Model model, LayerGroups groups, Loss loss, LearnerOptions options)
      : Learner(detail::make_task(model, detail::loss_on(groups[0].parameters[0].tensor.device(), std::move(loss))),
                detail::module_ptr(model), std::move(groups), std::move(options)) {}
  ~Learner();
  Learner(const Learner&) = delete;
  Learner& operator=(const Learner&) = delete;

  /// Trains one stage; returns its last epoch, whose `stop` says why if a callback ended it. Throws ConfigError or
  /// DataError, before anything is changed, for a stage that cannot be carried out.
  template <class... Callbacks>
  EpochRecord fit(const Stage& stage, Callbacks... callbacks) {
    return run({&stage, 1}, {Callback(std::move(callbacks))...});
  }
  /// Trains a plan's stages in order, after all were found sound; returns the last one's last epoch. A stage that a
  /// callback stops is followed by the next.
  template <std::same_as<std::vector<Stage>> Plan, class... Callbacks>  // deduced, so that braces mean one stage
  EpochRecord fit(const Plan& plan, Callbacks... callbacks) {
    return run(plan, {Callback(std::move(callbacks))...});
  }
  template <class... Callbacks>
  EpochRecord fit(std::initializer_list<Stage> plan, Callbacks... callbacks) {
    if (plan.size() == 0) return fit(Stage{}, std::move(callbacks)...);  // fit({}) is one stage
    return run({plan.begin(), plan.end()}, {Callback(std::move(callbacks))...});
  }
  /// See fine_tune_plan.
  template <class... Callbacks>
  EpochRecord fine_tune(std::int64_t epochs, double base_lr = 2e-3, const FineTune& how = {}, Callbacks... callbacks) {
    return fit(fine_tune_plan(epochs, base_lr, how), std::move(callbacks)...);
  }
  /// The article's loop: thaw all, find a rate, train, again and again until the network overfits. See UntilOverfit.
  UntilOverfitResult fit_until_overfit(const UntilOverfit& how = {});

  /// What a plan will do, without doing it: per stage, which groups train, from when, at which rates, for how many
  /// steps, and what looks wrong about it. Print it by <thaw/report/plan_table.hpp>. Throws what `fit` would.
  template <class... Callbacks>
  [[nodiscard]] std::vector<StageDescription> describe(const std::vector<Stage>& plan, Callbacks... callbacks) {
    return described(plan, {Callback(std::move(callbacks))...});
  }
  /// Runs the LR finder on what is thawed now. Nothing is left changed: see Snapshot; nor is the place in the data.
  /// Callbacks that change a step (accumulation, clipping, mixup) take part in each of its steps.
  template <class... Callbacks>
  [[nodiscard]] LRCurve find_lr(const LRFinder& finder = {}, Callbacks... callbacks) {
    return run_lr_find(finder, {Callback(std::move(callbacks))...});
  }

  /// Freezes groups [0, n) until told otherwise; a negative n counts from the end.
  void freeze_to(int n, NormChange norm = {});
  /// Freezes all groups but the last.
  void freeze(NormChange norm = {}) { freeze_to(-1, norm); }
  /// Thaws all groups.
  void unfreeze(NormChange norm = {});

  /// Loss and metrics over the validation data, or over `source`, in evaluation mode, which ends with it.
  [[nodiscard]] Evaluation validate() { return validate(data().valid); }
  [[nodiscard]] Evaluation validate(const DataSource& source);
  /// In evaluation mode, without gradients: the model's output for an input batch, or for DataSource::in_order.
  [[nodiscard]] at::Tensor predict(const Fields& input) { return outputs(input); }
  [[nodiscard]] at::Tensor predict(const DataSource& source) { return outputs(source); }
  /// The same for a model that returns several tensors.
  [[nodiscard]] Fields outputs(const Fields& input);
  [[nodiscard]] Fields outputs(const DataSource& source);
  /// What the loss gives for such outputs, on their device.
  [[nodiscard]] at::Tensor criterion(const Fields& output, const Fields& target);
  /// thaw::split_frozen of the model, as it is frozen now. Throws ConfigError for one that cannot be run in parts.
  [[nodiscard]] FrozenSplit split_frozen();
  /// Measures the running statistics of batch norms that train anew: the mean over one pass of the training data, as
  /// after weights were averaged. Held ones stay; TorchScript's throw ConfigError. As torch.optim.swa_utils.update_bn.
  void update_norm_statistics();

  /// Writes parameters, buffers and the optimizer's state, as a LibTorch archive, beside and then renamed: a file that
  /// was there stays until the new one is whole. Of several processes the first does; all have to call it where they
  /// share out the optimizer's state. Throws FileError.
  void save(const std::filesystem::path& path) const;
  /// Reads what `save` wrote. Throws FileError naming every tensor that is missing, unexpected, or of another shape or
  /// kind of number, and for another optimizer or other layer groups; then nothing has changed.
  void load(const std::filesystem::path& path);

  /// All that the run needs to go on from here: see RunState. Between two fits, or in a callback's on_safe_point;
  /// in another handler it throws ConfigError.
  [[nodiscard]] RunState run_state();
  /// Goes on from there, in a program that makes the same calls again: see RunState. Throws ConfigError, naming what
  /// differs, for another model or optimizer, and then nothing has changed; for another plan or other callbacks when it
  /// comes to that fit; and for a Learner that has trained already.
  void resume(RunState state, const ResumeOptions& options = {});
  /// True while a resumed program skips fits that the checkpoint already completed. What it does between these, it does
  /// on weights that are further on. For what must not be done twice: `if (!learner.replays()) save(...)`.
  [[nodiscard]] bool replays() const;
  /// How many times run_state was asked for, in all processes that this run took.
  [[nodiscard]] std::int64_t states_taken() const;
  /// A number that no other run has; a resumed run has that of the run it goes on with.
  [[nodiscard]] const std::string& run_id() const;
  /// Numbers that a program decides by the weights or the clock: `decide()`, asked once. A resumed run gets what the
  /// interrupted one got, and all processes get what the first gets.
  std::vector<double> decide_once(const std::function<std::vector<double>()>& decide);

  /// For callbacks: ends the stage after this step or epoch; the next stage of a plan follows. The first reason counts.
  /// Throws ConfigError where no stage runs.
  void stop(std::string reason);
  /// For callbacks, in on_loss_ready or on_gradients_ready: the optimizer leaves this step out, its loss counts in no
  /// mean; schedules go on.
  void skip_step();
  /// For callbacks: adds to the running stage's StageRecord::notes. Throws ConfigError where no stage runs.
  void note(std::string line);
  /// For callbacks: multiplies all rates from the next step on, until the stage ends. Throws ConfigError for a factor
  /// that is negative or not finite.
  void scale_lr(double factor);
  [[nodiscard]] double lr_scale() const;

  /// Goes on with other data: larger images, say.
  void data(LearnerData data);
  [[nodiscard]] const LearnerData& data() const;
  [[nodiscard]] LayerGroups& groups();
  [[nodiscard]] const LayerGroups& groups() const;
  [[nodiscard]] torch::optim::Optimizer& optimizer();
  [[nodiscard]] const World& world() const;
  [[nodiscard]] const std::vector<Metric>& metrics() const;
  [[nodiscard]] const History& history() const;
  /// All that find_lr gave.
  [[nodiscard]] const std::vector<LRCurve>& lr_curves() const;
  /// How convolutions are laid out in memory: automatic until the data was first tried on the model.
  [[nodiscard]] Layout layout() const;
  [[nodiscard]] at::Device device() const;

 private:
  Learner(detail::Task task, const std::shared_ptr<torch::nn::Module>& module, LayerGroups&& groups,
          LearnerOptions&& options);
  EpochRecord run(std::span<const Stage> plan, std::vector<Callback> callbacks);
  std::vector<StageDescription> described(std::span<const Stage> plan, std::vector<Callback> callbacks);
  LRCurve run_lr_find(const LRFinder& finder, std::vector<Callback> callbacks);

  friend detail::LearnerParts;
  std::unique_ptr<detail::LearnerParts> parts_;
};

}  // namespace thaw

#if THAW_DEFINES(train)

#include <ATen/ops/tensor.h>

#include <thaw/train/detail/check_source.hpp>
#include <thaw/train/detail/find_lr.hpp>
#include <thaw/train/detail/fit.hpp>
#include <thaw/train/detail/fit_until_overfit.hpp>
#include <thaw/train/detail/learner_file.hpp>
#include <thaw/train/detail/learner_parts.hpp>
#include <thaw/train/detail/norm_statistics.hpp>
#include <thaw/train/detail/resume.hpp>

namespace thaw {

THAW_INLINE Learner::Learner(detail::Task task, const std::shared_ptr<torch::nn::Module>& module, LayerGroups&& groups,
                             LearnerOptions&& options)
    : parts_(std::make_unique<detail::LearnerParts>(*this, std::move(task), module, std::move(groups),
                                                    std::move(options))) {}
THAW_INLINE Learner::~Learner() = default;
THAW_INLINE detail::LearnerParts& detail::LearnerParts::of(Learner& learner) {
  return *learner.parts_;
}

THAW_INLINE EpochRecord Learner::run(std::span<const Stage> plan, std::vector<Callback> callbacks) {
  return detail::run_fit(*parts_, plan, std::move(callbacks));
}
THAW_INLINE std::vector<StageDescription> Learner::described(std::span<const Stage> plan,
                                                             std::vector<Callback> callbacks) {
  return detail::describe(*parts_, plan, parts_->setup.all_callbacks(std::move(callbacks)));
}
THAW_INLINE LRCurve Learner::run_lr_find(const LRFinder& finder, std::vector<Callback> callbacks) {
  return detail::find_lr(*parts_, finder, parts_->setup.all_callbacks(std::move(callbacks)));
}
THAW_INLINE UntilOverfitResult Learner::fit_until_overfit(const UntilOverfit& how) {
  return detail::fit_until_overfit(*parts_, how);
}

THAW_INLINE void Learner::freeze_to(int n, NormChange norm) {
  forget_state(optimizer(), apply(FreezeTo{n}, groups(), norm));
}
THAW_INLINE void Learner::unfreeze(NormChange norm) {
  forget_state(optimizer(), apply(Unfrozen{}, groups(), norm));
}

THAW_INLINE Evaluation Learner::validate(const DataSource& source) {
  detail::check_same_classes(data().train.classes(), source.classes());
  return parts_->setup.validate(source);
}
THAW_INLINE Fields Learner::outputs(const Fields& input) {
  return parts_->setup.outputs(input);
}
THAW_INLINE Fields Learner::outputs(const DataSource& source) {
  return parts_->setup.outputs(source);
}
THAW_INLINE at::Tensor Learner::criterion(const Fields& output, const Fields& target) {
  return parts_->setup.task.loss(output, target);
}
THAW_INLINE FrozenSplit Learner::split_frozen() {
  return detail::FrozenPart(parts_->setup, parts_->data).split_now();
}
THAW_INLINE void Learner::update_norm_statistics() {
  detail::update_norm_statistics(parts_->setup, parts_->data);
}

THAW_INLINE void Learner::save(const std::filesystem::path& path) const {
  const detail::Setup& setup = parts_->setup;
  setup.groups.check_current();
  parts_->engine.settle();
  const detail::WholeOptimizer whole(setup);
  if (setup.world.is_rank_zero()) detail::save_learner(path, *setup.groups.module(), *setup.optimizer);
}
THAW_INLINE void Learner::load(const std::filesystem::path& path) {
  const detail::Setup& setup = parts_->setup;
  setup.groups.check_current();
  parts_->engine.settle();
  detail::load_learner(path, *setup.groups.module(), *setup.optimizer);
  setup.world.keep_own_state();
}

THAW_INLINE RunState Learner::run_state() {
  return detail::run_state(*parts_);
}
THAW_INLINE void Learner::resume(RunState state, const ResumeOptions& options) {
  detail::resume(*parts_, std::move(state), options);
}
THAW_INLINE bool Learner::replays() const {
  return parts_->log.replays();
}
THAW_INLINE std::int64_t Learner::states_taken() const {
  return parts_->log.states_taken;
}
THAW_INLINE const std::string& Learner::run_id() const {
  return parts_->log.run_id;
}

THAW_INLINE std::vector<double> Learner::decide_once(const std::function<std::vector<double>()>& decide) {
  if (parts_->log.resumed)
    if (const std::vector<double>* before = parts_->log.decisions.next()) return *before;
  std::vector<double> decided;
  world().together([&] { decided = decide(); });
  if (!world().is_single()) {
    at::Tensor values = at::tensor(decided, at::kDouble).to(device());
    world().broadcast({values});
    values = values.cpu();
    decided.assign(values.const_data_ptr<double>(), values.const_data_ptr<double>() + values.numel());
  }
  parts_->log.decisions.add(decided);
  return decided;
}

THAW_INLINE void Learner::stop(std::string reason) {
  parts_->control.stop(std::move(reason));
}
THAW_INLINE void Learner::skip_step() {
  parts_->control.skip_step();
}
THAW_INLINE void Learner::note(std::string line) {
  parts_->control.check_runs("note");
  if (!parts_->engine.finding_lr()) parts_->log.history.stages.back().notes.push_back(std::move(line));
}
THAW_INLINE void Learner::scale_lr(double factor) {
  parts_->control.scale_lr(factor);
}
THAW_INLINE double Learner::lr_scale() const {
  return parts_->control.lr_scale();
}
THAW_INLINE void Learner::data(LearnerData data) {
  parts_->refuse_in_callback("Learner::data");
  parts_->data.set(std::move(data));
}
THAW_INLINE const LearnerData& Learner::data() const {
  return parts_->data.get();
}
THAW_INLINE LayerGroups& Learner::groups() {
  return parts_->setup.groups;
}
THAW_INLINE const LayerGroups& Learner::groups() const {
  return parts_->setup.groups;
}
THAW_INLINE torch::optim::Optimizer& Learner::optimizer() {
  return *parts_->setup.optimizer;
}
THAW_INLINE const World& Learner::world() const {
  return parts_->setup.world;
}
THAW_INLINE const std::vector<Metric>& Learner::metrics() const {
  return parts_->setup.metrics;
}
THAW_INLINE const History& Learner::history() const {
  return parts_->log.history;
}
THAW_INLINE const std::vector<LRCurve>& Learner::lr_curves() const {
  return parts_->log.lr_curves.all();
}
THAW_INLINE Layout Learner::layout() const {
  return parts_->setup.mode->layout;
}
THAW_INLINE at::Device Learner::device() const {
  return parts_->setup.device();
}

}  // namespace thaw

#endif
