#pragma once

#include <torch/optim/optimizer.h>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/find/lr_finder.hpp>
#include <thaw/groups/freeze.hpp>
#include <thaw/groups/optimizer_groups.hpp>
#include <thaw/optim/adamw.hpp>
#include <thaw/train/detail/running_stage.hpp>
#include <thaw/train/detail/step_loss.hpp>
#include <thaw/train/detail/task.hpp>
#include <thaw/train/detail/training_cursor.hpp>
#include <thaw/train/frozen_split.hpp>
#include <thaw/train/history.hpp>
#include <thaw/train/learner_options.hpp>
#include <thaw/train/plan.hpp>
#include <thaw/train/run_state.hpp>
#include <thaw/train/stage.hpp>
#include <thaw/train/until_overfit.hpp>
#include <thaw/train/weight_copy.hpp>
#include <thaw/train/world.hpp>

namespace thaw {

namespace detail {
struct ComputeMode;
class FeatureStore;
class GradScaler;
class PassGraph;
}  // namespace detail

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

  /// What a plan will do, without doing it: per stage, which groups train, from when, at which rates, for how many
  /// steps, and what looks wrong about it. Print it by <thaw/report/plan_table.hpp>. Throws what `fit` would.
  template <class... Callbacks>
  [[nodiscard]] std::vector<StageDescription> describe(const std::vector<Stage>& plan, Callbacks... callbacks) {
    return described(plan, all_callbacks({Callback(std::move(callbacks))...}));
  }

  /// See fine_tune_plan.
  template <class... Callbacks>
  EpochRecord fine_tune(std::int64_t epochs, double base_lr = 2e-3, const FineTune& how = {}, Callbacks... callbacks) {
    return fit(fine_tune_plan(epochs, base_lr, how), std::move(callbacks)...);
  }

  /// The article's loop: thaw all, find a rate, train, again and again until the network overfits. See UntilOverfit.
  UntilOverfitResult fit_until_overfit(const UntilOverfit& how = {});

  /// Freezes groups [0, n) until told otherwise; a negative n counts from the end.
  void freeze_to(int n, NormChange norm = {}) { forget_state(*optimizer_, apply(FreezeTo{n}, groups_, norm)); }
  /// Freezes all groups but the last.
  void freeze(NormChange norm = {}) { freeze_to(-1, norm); }
  /// Thaws all groups.
  void unfreeze(NormChange norm = {}) { forget_state(*optimizer_, apply(Unfrozen{}, groups_, norm)); }

  /// Runs the LR finder on what is thawed now. Nothing is left changed: see Snapshot; nor is the place in the data.
  /// Callbacks that change a step (accumulation, clipping, mixup) take part in each of its steps.
  template <class... Callbacks>
  [[nodiscard]] LRCurve find_lr(const LRFinder& finder = {}, Callbacks... callbacks) {
    return run_lr_find(finder, all_callbacks({Callback(std::move(callbacks))...}));
  }

  /// Loss and metrics over the validation data, or over `source`, in evaluation mode, which ends with it.
  [[nodiscard]] Evaluation validate() { return validate(data_.valid); }
  [[nodiscard]] Evaluation validate(const DataSource& source);

  /// In evaluation mode, without gradients: the model's output for an input batch, or for DataSource::in_order.
  [[nodiscard]] at::Tensor predict(const Fields& input) { return outputs(input); }
  [[nodiscard]] at::Tensor predict(const DataSource& source) { return outputs(source); }
  /// The same for a model that returns several tensors.
  [[nodiscard]] Fields outputs(const Fields& input);
  [[nodiscard]] Fields outputs(const DataSource& source);
  /// What the loss gives for such outputs, on their device.
  [[nodiscard]] at::Tensor criterion(const Fields& output, const Fields& target) { return task_.loss(output, target); }

  /// thaw::split_frozen of the model, as it is frozen now. Throws ConfigError for one that cannot be run in parts.
  [[nodiscard]] FrozenSplit split_frozen();

  /// Numbers that a program decides by the weights or the clock: `decide()`, asked once. A resumed run gets what the
  /// interrupted one got, and all processes get what the first gets.
  std::vector<double> decide_once(const std::function<std::vector<double>()>& decide);

  /// Measures the running statistics of batch norms that train anew: the mean over one pass of the training data, as
  /// after weights were averaged. Held ones stay; TorchScript's throw ConfigError. As torch.optim.swa_utils.update_bn.
  void update_norm_statistics();

  /// Goes on with other data: larger images, say.
  void data(LearnerData data) {
    refuse_in_callback("data");
    data_ = std::move(data);
    checked_ = sanity_checked_before_ = false;
  }
  [[nodiscard]] const LearnerData& data() const { return data_; }

  /// Writes parameters, buffers and the optimizer's state, as a LibTorch archive, beside and then renamed: a file that
  /// was there stays until the new one is whole. Of several processes the first does; all have to call it where they
  /// share out the optimizer's state. Throws FileError.
  void save(const std::filesystem::path& path) const;
  /// Reads what `save` wrote. Throws FileError naming every tensor that is missing, unexpected, or of another shape or
  /// kind of number, and for another optimizer or other layer groups; then nothing has changed.
  void load(const std::filesystem::path& path);

  /// All that the run needs to go on from here, by name: parameters, buffers, optimizer, frozen groups, rates, history,
  /// what callbacks remember, random generators, the place in the plan and in the data. Between two fits, or in a
  /// callback's on_safe_point. Tensors are handles: what is trained on meanwhile changes them. Not in it: what a module
  /// keeps outside of parameters and buffers, the optimizer's options but rates and momentum, and data sources that
  /// cannot be run through again. <thaw/checkpoint/checkpoint.hpp> writes it to files.
  [[nodiscard]] RunState run_state();
  /// How many times it was asked for, in all processes that this run took.
  [[nodiscard]] std::int64_t states_taken() const { return states_taken_; }
  /// A number that no other run has; a resumed run has that of the run it goes on with.
  [[nodiscard]] const std::string& run_id() const { return run_id_; }

  /// Goes on from there, in a program that makes the same calls again, from its beginning: each `fit` that was done is
  /// left out and gives the record that it gave, the one that was running goes on at its next step, and `find_lr`
  /// before it gives the curve that it gave. Weights, optimizer, history and all that follows are, bit for bit, those
  /// of a run that was never interrupted; on the same number of threads, and if the data gives the same batches again.
  /// Throws ConfigError, naming what differs, for another model or optimizer, and then nothing has changed; for another
  /// plan or other callbacks when it comes to that fit; and for a Learner that has trained already.
  void resume(RunState state, const ResumeOptions& options = {});
  /// Whether a resumed run has not come to where it goes on: what its program does meanwhile, between fits that are
  /// left out, it does on weights that are further on. For what must not be done twice: `if (!learner.replays())
  /// save(...)`.
  [[nodiscard]] bool replays() const { return resumed_ && (fits_ < resumed_->cursor.fit || resumed_->cursor.in_fit()); }

  /// For callbacks: ends the stage after this step or epoch; the next stage of a plan follows. The first reason counts.
  void stop(std::string reason) {
    if (!stop_) stop_ = std::move(reason);
  }
  /// For callbacks, in on_loss_ready or on_gradients_ready: the optimizer leaves this step out, its loss counts in no
  /// mean; schedules go on.
  void skip_step() { skip_ = true; }
  /// For callbacks: multiplies all rates from the next step on, until the stage ends.
  void scale_lr(double factor) { lr_scale_ *= factor; }
  [[nodiscard]] double lr_scale() const { return lr_scale_; }

  [[nodiscard]] LayerGroups& groups() { return groups_; }
  [[nodiscard]] const LayerGroups& groups() const { return groups_; }
  [[nodiscard]] torch::optim::Optimizer& optimizer() { return *optimizer_; }
  [[nodiscard]] const World& world() const { return world_; }
  [[nodiscard]] const std::vector<Metric>& metrics() const { return metrics_; }
  [[nodiscard]] const History& history() const { return history_; }
  /// All that find_lr gave.
  [[nodiscard]] const std::vector<LRCurve>& lr_curves() const { return lr_curves_; }
  /// How convolutions are laid out in memory: automatic until the data was first tried on the model.
  [[nodiscard]] Layout layout() const;
  [[nodiscard]] at::Device device() const { return groups_[0].parameters[0].tensor.device(); }

 private:
  /// A call of fit that runs.
  struct Fit {
    const std::vector<Callback>* callbacks;
    std::vector<std::string> plan;  // in words
  };

  /// A run that another process began, until the fit comes that it was in.
  struct Resumed {
    RunState state;
    detail::TrainingCursor cursor;
    ResumeOptions how;
  };

  Learner(detail::Task task, const std::shared_ptr<torch::nn::Module>& module, LayerGroups&& groups,
          LearnerOptions options);

  using Drawn = detail::Drawn;
  using StepLoss = detail::StepLoss;

  template <class Event>
  static void tell(const std::vector<Callback>& callbacks, const Event& event) {
    for (const Callback& callback : callbacks) callback.on(event);
  }
  /// The same. Where one fails, other processes hear of it when they next agree on something, and end too.
  template <class Event>
  void announce(const std::vector<Callback>& callbacks, const Event& event) const;
  [[nodiscard]] std::vector<Callback> all_callbacks(std::vector<Callback> given) const {
    silence(given);
    given.insert(given.begin(), callbacks_.begin(), callbacks_.end());
    return given;
  }
  EpochRecord run(std::span<const Stage> plan, std::vector<Callback> callbacks);
  EpochRecord done_before(std::span<const Stage> plan);
  void go_on(Resumed& from);
  void visit(const StateVisitor& state);
  void visit_model(const StateVisitor& state, const std::vector<std::string>& groups);
  void visit_pass(const StateVisitor& state, const DataSource& source);
  void visit_callbacks(const StateVisitor& all, bool strict = true);
  void forget_misfits(const StateVisitor& state);
  [[nodiscard]] std::string model_differences(const StateVisitor& state) const;
  std::vector<detail::PlannedStage> prepare(std::span<const Stage> plan, const std::vector<Callback>& callbacks);
  std::vector<StageDescription> described(std::span<const Stage> plan, const std::vector<Callback>& callbacks);
  EpochRecord run_stage(detail::RunningStage& run);
  Evaluation validate_stage(const detail::RunningStage& run);
  void begin(detail::RunningStage& run);
  double train_epoch(detail::RunningStage& run);
  void read_losses();
  double mean_loss(std::int64_t epoch);
  BatchStream pass(const detail::SplitModel* split, std::int64_t epoch, std::int64_t batches_per_step);
  void set_frozen(const detail::RunningStage& run);
  void set_hyper(detail::RunningStage& run);
  std::optional<Drawn> draw(BatchStream& next);
  std::optional<StepLoss> step(const detail::SplitModel* split, std::optional<Drawn> first, BatchStream& next,
                               std::int64_t batches, const std::vector<Callback>& callbacks);
  std::optional<at::Tensor> gradients_of(const detail::SplitModel* split, const Batch& host, double weight, bool last,
                                         const std::vector<Callback>& callbacks);
  void make_ready(const detail::SplitModel* split, Batch& batch, const std::vector<Callback>& callbacks);
  at::Tensor loss_of(const detail::SplitModel* split, Batch& batch, const std::vector<Callback>& callbacks);
  template <class Pass>
  at::Tensor replay(const detail::SplitModel* split, const Batch& batch, double weight, const Pass& pass);
  void check_cache(const Stage& stage, const detail::PlannedStage& planned, const std::string& where) const;
  [[nodiscard]] detail::TensorSet moving_in(const detail::PlannedStage& planned) const;
  std::shared_ptr<const detail::SplitModel> split_model(const detail::RunningStage& run);
  void keep(const detail::RunningStage& run, const FrozenForward& prefix, detail::FeatureStore& store,
            detail::SplitModel& result);
  void update_split(detail::RunningStage& run);
  LRCurve run_lr_find(const LRFinder& finder, const std::vector<Callback>& callbacks);
  double loss_again(const std::vector<Batch>& batches, const std::vector<Callback>& callbacks);
  std::int64_t batches_per_step(const std::vector<Callback>& callbacks);
  [[nodiscard]] std::shared_ptr<void> sanity_check_only();
  void refuse_in_callback(const char* call) const;
  void check_graphs(const std::vector<Callback>& callbacks) const;
  void check_data();
  void run_sanity_check();
  void check_last_batch(const detail::PlannedStage& stage, const std::string& where);
  void join();
  void silence(std::vector<Callback>& callbacks) const;
  bool stops();
  void agree_on_stop(double any);
  void agree_on_step(const std::exception_ptr& failed);
  [[nodiscard]] std::shared_ptr<void> common_random() const;
  void share_buffers() const;
  [[nodiscard]] std::shared_ptr<void> whole_optimizer() const;
  void keep_own_state() const;

  World world_;
  LayerGroups groups_;
  std::shared_ptr<detail::ComputeMode> mode_;
  detail::Task task_;
  std::unique_ptr<detail::GradScaler> grad_scaler_;  // for Precision::float16
  bool cuda_graphs_;
  std::unique_ptr<detail::PassGraph> graph_;  // of the running fit or LR finder
  LearnerData data_;
  std::vector<Metric> metrics_;
  std::vector<Callback> callbacks_;
  MakeFrozenForward frozen_;
  std::unique_ptr<torch::optim::Optimizer> optimizer_;
  History history_;
  std::string run_id_ = detail::new_run_id();
  std::int64_t states_taken_ = 0;
  detail::TrainingCursor cursor_;
  std::chrono::steady_clock::time_point epoch_start_ = {};
  const Fit* fit_ = nullptr;                    // null between two
  std::int64_t fits_ = 0;                       // that were begun
  std::vector<std::string> fit_plans_;          // of each, in short
  std::vector<EpochRecord> fit_records_;        // what each gave
  std::vector<LRCurve> lr_curves_;              // all that find_lr gave
  std::vector<std::vector<double>> decisions_;  // all that decide_once gave
  std::size_t lr_curve_ = 0, decision_ = 0;     // how many of them this process asked for
  std::optional<Resumed> resumed_;
  std::optional<WeightCopy> best_round_;  // of fit_until_overfit
  std::int64_t epochs_begun_ = 0;         // numbers the passes over the training data: each is shuffled anew
  bool checked_ = false;                  // the data was tried on the model
  bool sanity_checked_before_ = false;    // it was, in the process that a resumed run goes on with
  bool finding_lr_ = false;               // the LR finder runs
  std::optional<std::string> stop_;       // why the running stage is to end
  bool skip_ = false;                     // the optimizer is to leave out the running step
  double lr_scale_ = 1;                   // what callbacks made of the running stage's rates
};

}  // namespace thaw

#if THAW_DEFINES(train)
#include <thaw/train/detail/learner_check.hpp>
#include <thaw/train/detail/learner_make.hpp>
#include <thaw/train/detail/learner_pass.hpp>
#include <thaw/train/detail/learner_split.hpp>
#include <thaw/train/detail/learner_stage.hpp>
#include <thaw/train/detail/learner_state.hpp>
#include <thaw/train/detail/learner_step.hpp>
#include <thaw/train/detail/learner_until_overfit.hpp>
#include <thaw/train/detail/learner_world.hpp>
#endif
