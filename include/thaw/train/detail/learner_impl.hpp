#pragma once

#include <thaw/train/learner.hpp>

namespace thaw {

template <class Model, class Loss>
Learner::Learner(Model model, LayerGroups groups, Loss loss, LearnerOptions options)
    : groups_(std::move(groups)),
      data_{std::move(options.train), std::move(options.valid)},
      metrics_(std::move(options.metrics)),
      callbacks_(std::move(options.callbacks)) {
  static_assert(requires(const at::Tensor& x) {
    { model->forward(x) } -> std::convertible_to<at::Tensor>;
  }, "thaw: the model needs a `forward` that takes an at::Tensor and returns one");
  static_assert(std::is_invocable_r_v<at::Tensor, const Loss&, const at::Tensor&, const at::Tensor&>,
                "thaw: a loss must be callable as `at::Tensor(const at::Tensor& output, const at::Tensor& target) const`");
  if (detail::module_ptr(model) != groups_.module())
    throw ConfigError("Learner", "the layer groups were made from another model", "make them from the model given here");
  forward_ = [model](const at::Tensor& input) mutable -> at::Tensor { return model->forward(input); };
  if constexpr (requires(const at::Tensor& x) { loss.check(x, x); })
    check_loss_ = [loss](const at::Tensor& output, const at::Tensor& targets) { loss.check(output, targets); };
  loss_ = std::move(loss);
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
  if (stage.epochs < 1)
    throw ConfigError(where, std::to_string(stage.epochs) + " epochs", "train at least 1");
  stage.schedule.check();
  if (stage.freeze) stage.freeze.check(groups_.size());
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
  run.tell(StageBegin{
      .stage = run.stage.name, .epochs = run.stage.epochs, .steps_per_epoch = run.batches, .groups = plan});
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
    run.tell(StepEnd{.stage = run.stage.name, .epoch = epoch, .epochs = run.stage.epochs, .step = run.step,
                     .steps = run.steps, .lr = run.lr, .loss = losses.back()});
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
  const Progress at{.step = run.step, .steps = run.steps, .steps_per_epoch = run.batches};
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
  const at::Tensor output = forward_(batch.input);
  at::Tensor loss;
  try {
    loss = loss_(output, batch.target);
  } catch (const c10::Error&) {
    if (check_loss_) check_loss_(output, batch.target);  // says it better, where it can
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
    throw DataError("Learner::validate", "there is no validation data", "give LearnerOptions::valid at least one batch");
  const c10::NoGradGuard no_grad;
  groups_.eval();
  at::Tensor sums = at::zeros({static_cast<std::int64_t>(1 + metrics_.size())}, at::device(device()).dtype(at::kDouble));
  double samples = 0;
  BatchStream next = source.stream();
  while (const std::optional<Batch> host = next()) {
    const Batch batch = host->to(device());
    const at::Tensor output = forward_(batch.input);
    std::vector<at::Tensor> values{loss_(output, batch.target).to(at::kDouble)};
    for (const Metric& metric : metrics_) values.push_back(metric.mean(output, batch.target).to(at::kDouble));
    sums.add_(at::stack(values), static_cast<double>(batch.size()));
    samples += static_cast<double>(batch.size());
  }
  const at::Tensor means = (sums / samples).cpu();
  Evaluation result{.loss = means.data_ptr<double>()[0]};
  for (std::size_t i = 0; i < metrics_.size(); ++i)
    result.metrics.push_back({.name = metrics_[i].name, .value = means.data_ptr<double>()[i + 1]});
  return result;
}

inline at::Tensor Learner::predict(const at::Tensor& input) {
  const c10::NoGradGuard no_grad;
  groups_.eval();
  return forward_(input.to(device()));
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

inline std::vector<GroupPlan> Learner::group_plan(const Run& run) const {
  const Norm rule = run.stage.freeze ? run.stage.norm.frozen : groups_.norm_rule().frozen;
  std::vector<GroupPlan> plan;
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    GroupPlan group{.name = groups_[i].name, .parameters = groups_[i].numel()};
    for (const GroupParameter& parameter : groups_[i].parameters)
      if (parameter.trainable && (!run.frozen[i] || (parameter.of_norm && rule == Norm::train)))
        group.trained += parameter.tensor.numel();
    group.lr = group.trained > 0 ? run.peak_lr[i] : 0;
    plan.push_back(group);
  }
  return plan;
}

/// Tries the data on the model, once: what would fail in the middle of training fails here, with a better message.
inline void Learner::check_data() {
  if (checked_) return;
  if (!data_.train || data_.train.batches() == 0)
    throw DataError("training data", "there are no batches", "give LearnerOptions::train at least one batch");
  if (data_.valid && data_.valid.batches() == 0)
    throw DataError("validation data", "there are no batches", "give LearnerOptions::valid at least one, or leave it out");

  const c10::NoGradGuard no_grad;
  groups_.eval();
  for (const DataSource& source : {data_.train, data_.valid}) {
    if (!source) continue;
    const Batch batch = source.stream(epochs_begun_)()->to(device());
    const at::Tensor output = forward_(batch.input);
    if (check_loss_) check_loss_(output, source.targets().defined() ? source.targets() : batch.target);
    const at::Tensor loss = loss_(output, batch.target);
    if (loss.numel() != 1)
      throw ConfigError("loss", "it gives " + std::to_string(loss.numel()) + " values for a batch",
                        "return one number: the mean over the samples");
  }
  checked_ = true;
}

}  // namespace thaw
