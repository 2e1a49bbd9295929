#pragma once

#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

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
#include <thaw/data/source.hpp>
#include <thaw/find/lr_finder.hpp>
#include <thaw/groups/freeze.hpp>
#include <thaw/groups/optimizer_groups.hpp>
#include <thaw/optim/adamw.hpp>
#include <thaw/train/callback.hpp>
#include <thaw/train/detail/learner_file.hpp>
#include <thaw/train/history.hpp>
#include <thaw/train/metric.hpp>
#include <thaw/train/stage.hpp>

namespace thaw {

/// What a Learner trains on and validates with.
struct LearnerData {
  DataSource train = {};
  DataSource valid = {};  ///< may be left out
};

struct LearnerOptions {
  DataSource train = {};
  DataSource valid = {};              ///< may be left out
  std::vector<Metric> metrics = {};   ///< of the validation data
  std::vector<Callback> callbacks = {};  ///< of every stage, before those given to fit
  /// Makes the optimizer, over thaw::param_groups(groups) or the like. Default: thaw::AdamW{groups}.
  std::function<std::unique_ptr<torch::optim::Optimizer>(const LayerGroups&)> optimizer = {};
};

/// Trains a model in stages. Holds the model, its layer groups, one optimizer over all of them, data, and the history.
///
/// A stage is checked as a whole before anything is changed. Losses stay on the device until an epoch ends or a
/// callback reads them. Batches are moved to the device of the model's first parameter.
class Learner {
 public:
  /// `model`: a ModuleHolder or shared_ptr whose `forward(at::Tensor)` returns a tensor. `loss(output, target)` returns a
  /// scalar tensor, a mean over samples; it may offer `check(output, targets)`, which throws DataError before training.
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
  std::vector<GroupPlan> group_plan(const Run& run) const;
  void check_data();

  [[nodiscard]] at::Device device() const { return groups_[0].parameters[0].tensor.device(); }

  LayerGroups groups_;
  std::function<at::Tensor(const at::Tensor&)> forward_;
  std::function<at::Tensor(const at::Tensor&, const at::Tensor&)> loss_;
  std::function<void(const at::Tensor&, const at::Tensor&)> check_loss_;
  LearnerData data_;
  std::vector<Metric> metrics_;
  std::vector<Callback> callbacks_;
  std::unique_ptr<torch::optim::Optimizer> optimizer_;
  History history_;
  std::int64_t epochs_begun_ = 0;  // numbers the passes over the training data, so that each is shuffled anew
  bool checked_ = false;           // the data was tried on the model
};

}  // namespace thaw

#include <thaw/train/detail/learner_impl.hpp>
