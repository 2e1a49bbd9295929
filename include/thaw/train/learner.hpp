#pragma once

#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/find/lr_finder.hpp>
#include <thaw/groups/freeze.hpp>
#include <thaw/groups/optimizer_groups.hpp>
#include <thaw/optim/adamw.hpp>
#include <thaw/train/detail/evaluate.hpp>
#include <thaw/train/detail/group_plan.hpp>
#include <thaw/train/detail/learner_file.hpp>
#include <thaw/train/history.hpp>
#include <thaw/train/learner_options.hpp>
#include <thaw/train/stage.hpp>

namespace thaw {

/// Trains a model in stages. Holds the model, its layer groups, one optimizer over all of them, data, and the history.
///
/// A stage is checked as a whole before anything is changed. Losses stay on the device until an epoch ends or a
/// callback reads them. Batches are moved to the device of the model's first parameter.
class Learner {
 public:
  /// `model`: a ModuleHolder or shared_ptr whose `forward(at::Tensor)` returns a tensor. `loss(output, target)` returns
  /// a scalar tensor, a mean over samples; it may offer `check(output, targets)`, which throws DataError before
  /// training.
  template <class Model, class Loss>
  Learner(Model model, LayerGroups groups, Loss loss, LearnerOptions options);

  /// Trains one stage; returns its last epoch. Throws ConfigError or DataError, before anything is changed, for a plan
  /// that cannot be carried out.
  template <class... Callbacks>
  EpochRecord fit(const Stage& stage, Callbacks... callbacks) {
    return run(stage, {Callback(std::move(callbacks))...});
  }

  /// fastai's recipe: the last group alone, then all. See fine_tune_plan.
  EpochRecord fine_tune(std::int64_t epochs, double base_lr = 2e-3, const FineTune& how = {}) {
    EpochRecord last;
    for (const Stage& stage : fine_tune_plan(epochs, base_lr, how)) last = run(stage, {});
    return last;
  }

  /// Freezes groups [0, n) until told otherwise; a negative n counts from the end.
  void freeze_to(int n, NormRule norm = {}) { forget_state(*optimizer_, apply(FreezeTo{n}, groups_, norm)); }
  /// Freezes all groups but the last.
  void freeze(NormRule norm = {}) { freeze_to(-1, norm); }
  /// Thaws all groups.
  void unfreeze(NormRule norm = {}) { forget_state(*optimizer_, apply(Unfrozen{}, groups_, norm)); }

  /// Runs the LR finder on what is thawed now. Nothing is left changed: see Snapshot.
  [[nodiscard]] LRCurve find_lr(const LRFinder& finder = {});

  /// Loss and metrics over the validation data, or over `source`. Leaves the module in evaluation mode.
  [[nodiscard]] Evaluation validate() { return validate(data_.valid); }
  [[nodiscard]] Evaluation validate(const DataSource& source);

  /// The model's outputs for one input batch, or for all of a source, in evaluation mode, without gradients.
  [[nodiscard]] at::Tensor predict(const at::Tensor& input);
  [[nodiscard]] at::Tensor predict(const DataSource& source);

  /// Goes on with other data: larger images, say.
  void data(LearnerData data) {
    data_ = std::move(data);
    checked_ = false;
  }

  /// Writes parameters, buffers and the optimizer's state, as a LibTorch archive, beside and then renamed: a file that
  /// was there stays until the new one is whole. Throws FileError.
  void save(const std::filesystem::path& path) const { detail::save_learner(path, *groups_.module(), *optimizer_); }
  /// Reads what `save` wrote. Throws FileError naming every tensor that is missing, unexpected or of another shape, and
  /// then nothing has changed.
  void load(const std::filesystem::path& path) { detail::load_learner(path, *groups_.module(), *optimizer_); }

  [[nodiscard]] const LayerGroups& groups() const { return groups_; }
  [[nodiscard]] torch::optim::Optimizer& optimizer() { return *optimizer_; }
  [[nodiscard]] const History& history() const { return history_; }

 private:
  using Clock = std::chrono::steady_clock;

  /// A stage that was found sound, and where it stands.
  struct Run {
    const Stage& stage;
    OptimizerGroups optimizer;
    std::vector<double> peak_lr;
    std::int64_t batches, steps;
    std::vector<bool> frozen;
    std::vector<Callback> callbacks;
    std::int64_t step = 0;
    std::vector<double> lr = {};

    template <class Event>
    void tell(const Event& event) {
      for (Callback& callback : callbacks) callback.on(event);
    }
  };

  EpochRecord run(const Stage& stage, std::vector<Callback> callbacks);
  Run prepare(const Stage& stage, std::vector<Callback> callbacks);
  void begin(Run& run);
  double train_epoch(Run& run, std::int64_t epoch);
  void set_hyper(Run& run);
  at::Tensor step(const Batch& batch);
  std::vector<GroupPlan> group_plan(const Run& run) const {
    return detail::group_plan(groups_, run.frozen, run.stage.freeze ? run.stage.norm : groups_.norm_rule(),
                              run.peak_lr);
  }
  void check_data();

  [[nodiscard]] at::Device device() const { return groups_[0].parameters[0].tensor.device(); }

  LayerGroups groups_;
  detail::Task task_;
  LearnerData data_;
  std::vector<Metric> metrics_;
  std::vector<Callback> callbacks_;
  std::unique_ptr<torch::optim::Optimizer> optimizer_;
  History history_;
  std::int64_t epochs_begun_ = 0;  // numbers the passes over the training data, so that each is shuffled anew
  bool checked_ = false;           // the data was tried on the model
};

template <class Model, class Loss>
Learner::Learner(Model model, LayerGroups groups, Loss loss, LearnerOptions options)
    : groups_(std::move(groups)),
      data_{std::move(options.train), std::move(options.valid)},
      metrics_(std::move(options.metrics)),
      callbacks_(std::move(options.callbacks)) {
  static_assert(
      requires(const at::Tensor& x) {
        { model->forward(x) } -> std::convertible_to<at::Tensor>;
      }, "thaw: the model needs a `forward` that takes an at::Tensor and returns one");
  static_assert(
      std::is_invocable_r_v<at::Tensor, const Loss&, const at::Tensor&, const at::Tensor&>,
      "thaw: a loss must be callable as `at::Tensor(const at::Tensor& output, const at::Tensor& target) const`");
  if (detail::module_ptr(model) != groups_.module())
    throw ConfigError("Learner", "the layer groups were made from another model",
                      "make them from the model given here");
  task_.forward = [model](const at::Tensor& input) mutable -> at::Tensor { return model->forward(input); };
  if constexpr (requires(const at::Tensor& x) { loss.check(x, x); })
    task_.check = [loss](const at::Tensor& output, const at::Tensor& targets) { loss.check(output, targets); };
  task_.loss = std::move(loss);
  optimizer_ = options.optimizer ? options.optimizer(groups_) : std::make_unique<AdamW>(groups_);
  (void)OptimizerGroups(*optimizer_, groups_);  // throws when they do not fit each other
  history_.groups.reserve(groups_.size());
  for (const LayerGroup& group : groups_) history_.groups.push_back(group.name);
}

// ---- a stage, from top to bottom ----

inline EpochRecord Learner::run(const Stage& stage, std::vector<Callback> callbacks) {
  Run run = prepare(stage, std::move(callbacks));
  begin(run);
  EpochRecord record;
  for (std::int64_t epoch = 1; epoch <= stage.epochs; ++epoch) {
    const auto start = Clock::now();
    record = {.stage = stage.name, .epoch = epoch, .epochs = stage.epochs};
    record.train_loss = train_epoch(run, epoch);
    if (data_.valid) record.valid = validate(data_.valid);
    record.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    history_.epochs.push_back(record);
    run.tell(EpochEnd{.record = record});
  }
  run.tell(StageEnd{.record = history_.stages.back(), .history = history_});
  return record;
}

/// Finds everything that can be found wrong, and changes nothing.
inline Learner::Run Learner::prepare(const Stage& stage, std::vector<Callback> callbacks) {
  const std::string where = "stage \"" + stage.name + "\"";
  if (stage.epochs < 1) throw ConfigError(where, std::to_string(stage.epochs) + " epochs", "train at least 1");
  stage.schedule.check();
  if (stage.freeze) stage.freeze.check(names_of(groups_));
  std::vector<double> peak_lr = stage.lr(groups_.size());
  check_data();

  const std::int64_t batches = data_.train.batches();
  const Progress start{.step = 0, .steps = stage.epochs * batches, .steps_per_epoch = batches};
  callbacks.insert(callbacks.begin(), callbacks_.begin(), callbacks_.end());
  Run run{.stage = stage,
          .optimizer = OptimizerGroups(*optimizer_, groups_),
          .peak_lr = std::move(peak_lr),
          .batches = batches,
          .steps = start.steps,
          .frozen = stage.freeze ? frozen_groups(stage.freeze, groups_, start) : groups_.frozen(),
          .callbacks = std::move(callbacks)};
  bool trains = false;
  for (const GroupPlan& group : group_plan(run)) trains = trains || group.trained > 0;
  if (!trains)
    throw ConfigError(where, "every parameter is frozen, so there is nothing to train", "thaw at least the last group");
  return run;
}

inline void Learner::begin(Run& run) {
  if (run.stage.reset_optimizer) optimizer_->state().clear();
  if (run.stage.freeze) forget_state(*optimizer_, groups_.freeze(run.frozen, run.stage.norm));
  history_.stages.push_back({.name = run.stage.name,
                             .first_step = static_cast<std::int64_t>(history_.steps.size()),
                             .steps = 0,
                             .frozen = run.frozen});
  const std::vector<GroupPlan> plan = group_plan(run);
  run.tell(
      StageBegin{.stage = run.stage.name, .epochs = run.stage.epochs, .steps_per_epoch = run.batches, .groups = plan});
}

/// Returns the mean training loss over the epoch's samples.
inline double Learner::train_epoch(Run& run, std::int64_t epoch) {
  groups_.train();
  std::vector<at::Tensor> losses;  // on the device: read once, at the end
  std::vector<double> samples;
  const std::size_t first = history_.steps.size();
  BatchStream next = data_.train.stream(epochs_begun_++);
  while (const std::optional<Batch> batch = next()) {
    set_hyper(run);
    losses.push_back(step(*batch));
    samples.push_back(static_cast<double>(batch->size()));
    ++run.step;
    history_.steps.push_back({.lr = run.lr, .momentum = run.optimizer.momentum()});
    ++history_.stages.back().steps;
    run.tell(StepEnd{.stage = run.stage.name,
                     .epoch = epoch,
                     .epochs = run.stage.epochs,
                     .step = run.step,
                     .steps = run.steps,
                     .lr = run.lr,
                     .loss = losses.back()});
  }
  if (losses.empty())
    throw DataError("training data", "epoch " + std::to_string(epoch) + " gave no batches, the first pass did",
                    "give a source that can be run through more than once");
  const at::Tensor values = at::stack(losses).to(at::kCPU, at::kDouble);
  double sum = 0, count = 0;
  for (std::size_t i = 0; i < losses.size(); ++i) {
    const double loss = history_.steps[first + i].loss = values.data_ptr<double>()[i];
    sum += samples[i] * loss;
    count += samples[i];
  }
  return sum / count;
}

/// Freezes, thaws, and sets rates and momentum for the step that comes.
inline void Learner::set_hyper(Run& run) {
  const Progress at{.step = std::min(run.step, run.steps - 1), .steps = run.steps, .steps_per_epoch = run.batches};
  if (run.stage.freeze) {
    run.frozen = frozen_groups(run.stage.freeze, groups_, at);
    if (run.frozen != groups_.frozen()) {
      forget_state(*optimizer_, groups_.freeze(run.frozen, run.stage.norm));
      groups_.train();
    }
  }
  const ScheduleValue value = run.stage.schedule(at);
  run.lr = run.peak_lr;
  for (double& lr : run.lr) lr *= value.lr;
  run.optimizer.set_lr(run.lr);
  if (value.momentum) run.optimizer.set_momentum(*value.momentum);
  for (std::size_t i = 0; i < run.lr.size(); ++i)
    if (run.frozen[i] && groups_.norm_rule().frozen != Norm::train) run.lr[i] = 0;  // what the records show
}

/// Forward, backward, optimizer step. Returns the loss, detached, on its device.
inline at::Tensor Learner::step(const Batch& host) {
  const Batch batch = host.to(device());
  const at::Tensor output = task_.forward(batch.input);
  at::Tensor loss;
  try {
    loss = task_.loss(output, batch.target);
  } catch (const c10::Error&) {
    if (task_.check) task_.check(output, batch.target);  // says it better, where it can
    throw;
  }
  loss.backward();
  optimizer_->step();
  optimizer_->zero_grad();
  return loss.detach();
}

// ---- the rest ----

inline Evaluation Learner::validate(const DataSource& source) {
  if (!source || source.batches() == 0)
    throw DataError("Learner::validate", "there is no validation data",
                    "give LearnerOptions::valid at least one batch");
  groups_.eval();
  return detail::evaluate(task_, metrics_, source, device());
}

inline at::Tensor Learner::predict(const at::Tensor& input) {
  const c10::NoGradGuard no_grad;
  groups_.eval();
  return task_.forward(input.to(device()));
}

inline at::Tensor Learner::predict(const DataSource& source) {
  std::vector<at::Tensor> outputs;
  BatchStream next = source.stream();
  while (const std::optional<Batch> batch = next()) outputs.push_back(predict(batch->input));
  if (outputs.empty()) throw DataError("Learner::predict", "the source is empty", "give it at least one batch");
  return at::cat(outputs);
}

inline LRCurve Learner::find_lr(const LRFinder& finder) {
  finder.check();
  check_data();
  std::int64_t epoch = epochs_begun_;
  BatchStream next = data_.train.stream(epoch);
  return finder.run(groups_, *optimizer_, [&] {
    groups_.train();
    std::optional<Batch> batch = next();
    if (!batch) {
      next = data_.train.stream(++epoch);
      batch = next();
    }
    return step(*batch).template item<double>();
  });
}

/// Tries the data on the model, once.
inline void Learner::check_data() {
  if (checked_) return;
  if (!data_.train || data_.train.batches() == 0)
    throw DataError("training data", "there are no batches", "give LearnerOptions::train at least one batch");
  if (data_.valid && data_.valid.batches() == 0)
    throw DataError("validation data", "there are no batches",
                    "give LearnerOptions::valid at least one, or leave it out");
  groups_.eval();
  detail::check_source(task_, data_.train, epochs_begun_, device());
  if (data_.valid) detail::check_source(task_, data_.valid, 0, device());
  checked_ = true;
}

}  // namespace thaw
