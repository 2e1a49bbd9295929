// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/find/lr_finder.hpp>
#include <thaw/train/detail/control.hpp>
#include <thaw/train/detail/optimizer_state.hpp>
#include <thaw/train/detail/run_log.hpp>
#include <thaw/train/detail/setup.hpp>
#include <thaw/train/detail/stage_loop.hpp>
#include <thaw/train/detail/step_engine.hpp>
#include <thaw/train/detail/training_data.hpp>
#include <thaw/train/plan.hpp>
#include <thaw/train/run_state.hpp>
#include <thaw/train/until_overfit.hpp>

namespace thaw::detail {

/// A call of fit that runs.
struct RunningFit {
  const std::vector<Callback>& callbacks;
  std::vector<std::string> plan;  // in words
};

/// What a Learner consists of: each part owns its own, and none knows this.
struct LearnerParts {
  LearnerParts(Learner& learner_, Task task, const std::shared_ptr<torch::nn::Module>& module, LayerGroups&& groups,
               LearnerOptions options);
  LearnerParts(const LearnerParts&) = delete;
  LearnerParts& operator=(const LearnerParts&) = delete;
  ~LearnerParts() = default;
  /// For what is done with a Learner by a function of its own, as quick_check is.
  static LearnerParts& of(Learner& learner);

  Learner& learner;
  Setup setup;
  RunLog log;
  Control control;
  TrainingData data;
  StepEngine engine;
  StageLoop loop;
  const RunningFit* fit = nullptr;  // null between two

  /// Throws ConfigError where a fit or an LR finder runs: its plan, its pass over the data and its place would be lost.
  void refuse_in_callback(const char* call) const;

 private:
  void join();
};

// What is done with all of them.

/// Learner::fit: `callbacks` are those given to it.
EpochRecord run_fit(LearnerParts& parts, std::span<const Stage> plan, std::vector<Callback> callbacks);
/// Learner::describe. `callbacks` are all.
std::vector<StageDescription> describe(LearnerParts& parts, std::span<const Stage> plan,
                                       const std::vector<Callback>& callbacks);
/// Learner::find_lr. `callbacks` are all.
LRCurve find_lr(LearnerParts& parts, const LRFinder& finder, const std::vector<Callback>& callbacks);
/// Learner::fit_until_overfit.
UntilOverfitResult fit_until_overfit(LearnerParts& parts, const UntilOverfit& how);
/// Learner::update_norm_statistics.
void update_norm_statistics(const Setup& setup, const TrainingData& data);

/// Throws ConfigError where LibTorch records no gradients.
void check_grad_mode(const char* call);

/// What a plan does on the training data. Finds everything that can be found wrong, and changes nothing.
std::vector<PlannedStage> prepare(LearnerParts& parts, std::span<const Stage> plan,
                                  const std::vector<Callback>& callbacks);

/// How many batches a step has, as callbacks want it. Throws ConfigError for what cannot be.
std::int64_t batches_per_step(LearnerParts& parts, const std::vector<Callback>& callbacks);

// ---- a run's state: resume.hpp ----

RunState run_state(LearnerParts& parts);
void resume(LearnerParts& parts, RunState saved, const ResumeOptions& how);
/// What a fit gave that was done before the checkpoint was written.
EpochRecord done_before(LearnerParts& parts, std::span<const Stage> plan);
/// Goes on with the running fit, which was planned anew.
void go_on(LearnerParts& parts, Resumed& from);

/// While it lives, the first process's optimizer remembers what those of all processes do, where they share that out.
class WholeOptimizer {
 public:
  explicit WholeOptimizer(const Setup& setup);
  ~WholeOptimizer() {
    if (gathered_) setup_.world.keep_own_state();
  }
  WholeOptimizer(const WholeOptimizer&) = delete;
  WholeOptimizer& operator=(const WholeOptimizer&) = delete;

 private:
  const Setup& setup_;
  bool gathered_;
};

}  // namespace thaw::detail

#if THAW_DEFINES(train)

namespace thaw::detail {

THAW_INLINE LearnerParts::LearnerParts(Learner& learner_, Task task, const std::shared_ptr<torch::nn::Module>& module,
                                       LayerGroups&& groups, LearnerOptions options)
    : learner(learner_),
      setup(std::move(task), module, std::move(groups), options),
      control(setup.world),
      data(setup, {std::move(options.train), std::move(options.valid)}),
      engine(learner, setup, control, options.precision),
      loop(learner, setup, control, data, engine, log.history) {
  log.history.max_recorded_steps = options.max_recorded_steps;
  log.history.groups = names_of(setup.groups);
  join();
}

/// All processes begin with the weights of the first.
THAW_INLINE void LearnerParts::join() {
  const World& world = setup.world;
  if (world.is_single()) return;
  world.begin(setup.groups, *setup.optimizer);
  std::vector<at::Tensor> all;
  setup.groups.each_tensor([&](const std::string&, const at::Tensor& tensor) { all.push_back(tensor); });
  world.broadcast(all);
  log.run_id = world.all_gather(log.run_id)[0];
  if (world.shards_optimizer() && has_foreign_state(*setup.optimizer))
    throw ConfigError("LearnerOptions::world", "the optimizer's state is to be shared out, and is not LibTorch's",
                      "take thaw's or LibTorch's AdamW, Adam, SGD, RMSprop or Adagrad, or do not shard it");
  draw_apart(world);
}

THAW_INLINE void LearnerParts::refuse_in_callback(const char* call) const {
  if (fit != nullptr || engine.finding_lr())
    throw ConfigError(call, "a callback calls it while a fit or find_lr runs",
                      "call stop(reason) there, and this once fit has returned");
}

THAW_INLINE void check_grad_mode(const char* call) {
  if (!c10::GradMode::is_enabled() || c10::InferenceMode::is_enabled())
    throw ConfigError(call, "gradients are switched off here, by a NoGradGuard or an InferenceMode",
                      "call it outside of that guard's scope");
}

THAW_INLINE WholeOptimizer::WholeOptimizer(const Setup& setup)
    : setup_(setup), gathered_(setup.world.shards_optimizer()) {
  if (!gathered_) return;
  const World& world = setup.world;
  RunState whole;
  visit_optimizer({whole, /*reading=*/false}, *setup.optimizer, setup.groups);
  for (std::int64_t rank = 1; rank < world.size(); ++rank)
    for (auto& [name, tensor] : world.state_of(rank, rank == world.rank() ? remembered(whole) : RunState()))
      if (world.is_rank_zero()) whole.insert_or_assign(name, tensor);
  if (world.is_rank_zero()) visit_optimizer({whole, /*reading=*/true}, *setup.optimizer, setup.groups);
}

}  // namespace thaw::detail

#endif
