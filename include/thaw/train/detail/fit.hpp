// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A call of fit: planned as a whole, then stage by stage.

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/names.hpp>
#include <thaw/train/detail/learner_parts.hpp>
#include <thaw/train/detail/plan_text.hpp>

namespace thaw::detail {

/// Throws ConfigError for a stage that no data could make sense of.
void check(const Stage& stage, const LayerGroups& groups, const std::string& where);

/// What a plan does on `batches` batches of training data, `per_step` of which make a step. Throws ConfigError where a
/// stage trains nothing, or at rates that no optimizer can take. Changes nothing.
std::vector<PlannedStage> plan_stages(std::span<const Stage> plan, const LayerGroups& groups, std::int64_t batches,
                                      std::int64_t per_step);

}  // namespace thaw::detail

#if THAW_DEFINES(train)

namespace thaw::detail {

THAW_INLINE void check(const Stage& stage, const LayerGroups& groups, const std::string& where) {
  if (stage.epochs < 1) throw ConfigError(where, std::to_string(stage.epochs) + " epochs", "train at least 1");
  if (stage.max_batches && *stage.max_batches < 1)
    throw ConfigError(where, "max_batches is " + std::to_string(*stage.max_batches),
                      "train on at least 1 batch per epoch; leave it out for all");
  stage.schedule.check();
  if (stage.weight_decay) stage.weight_decay->schedule.check();
  if (stage.freeze) stage.freeze.check(names_of(groups));
  (void)stage.lr(groups.size());  // throws for rates that are none, or of other groups
}

THAW_INLINE std::vector<PlannedStage> plan_stages(std::span<const Stage> plan, const LayerGroups& groups,
                                                  std::int64_t batches, std::int64_t per_step) {
  std::vector<PlannedStage> planned;
  std::vector<bool> frozen = groups.frozen();
  NormRule norm = groups.norm_rule();
  for (const Stage& stage : plan) {
    norm = stage.norm.over(norm);
    const std::int64_t per_epoch = std::min(batches, stage.max_batches.value_or(batches));
    PlannedStage now{.peak_lr = stage.lr(groups.size()),
                     .frozen = {{.step = 0, .frozen = frozen}},
                     .norm = norm,
                     .epochs = stage.epochs,
                     .steps_per_epoch = (per_epoch + per_step - 1) / per_step,
                     .batches_per_step = per_step};
    if (stage.freeze) now.frozen = frozen_over(stage.freeze, groups, now.steps(), now.steps_per_epoch);
    check_trains(groups, now, name_of(stage));
    check_schedules(stage, now);
    frozen = now.frozen.back().frozen;
    planned.push_back(std::move(now));
  }
  return planned;
}

THAW_INLINE std::int64_t batches_per_step(LearnerParts& parts, const std::vector<Callback>& callbacks) {
  std::int64_t batches = 1;
  std::vector<std::string> sets_weights, averages, mixes;
  tell(callbacks, StagePlanned{.learner = parts.learner,
                               .batches_per_step = batches,
                               .sets_weights = sets_weights,
                               .averages = averages,
                               .mixes = mixes});
  const auto only_one = [](const std::vector<std::string>& who, const std::string& does, const std::string& fix) {
    if (who.size() > 1) throw ConfigError("callbacks", join_names(who) + " each " + does, fix);
  };
  only_one(sets_weights, "put other weights into the model as a stage ends",
           "take one of them, or run the second in a stage of its own");
  only_one(averages, "swap the model's weights for an average, or validate them within an epoch",
           "take one of them, or run the second in a stage of its own");
  only_one(mixes, "mix the samples of a batch, and the loss of one knows nothing of the other",
           "take one of them, or a callback of your own that asks one of the two for each batch");
  if (batches < 1)
    throw ConfigError("callbacks", "they ask for " + std::to_string(batches) + " batches per step", "take at least 1");
  return batches;
}

/// Throws ConfigError where a weight decay would act on nothing.
inline void check_decays(torch::optim::Optimizer& optimizer, const LayerGroups& groups, const std::string& where) {
  const OptimizerGroups live(optimizer, groups);
  for (std::size_t i = 0; i < groups.size(); ++i)
    if (live.weight_decay(i)) return;
  throw ConfigError(where, "it has a weight decay, and the optimizer has none that can be set, or nothing in it decays",
                    "take thaw's or LibTorch's AdamW, Adam, SGD, RMSprop or Adagrad, or leave weight_decay out");
}

THAW_INLINE std::vector<PlannedStage> prepare(LearnerParts& parts, std::span<const Stage> plan,
                                              const std::vector<Callback>& callbacks) {
  if (plan.empty()) throw ConfigError("Learner::fit", "the plan has no stages", "give at least one");
  const LayerGroups& groups = parts.setup.groups;
  groups.check_current();
  const std::int64_t per_step = batches_per_step(parts, callbacks);
  parts.engine.check_graphs(callbacks);
  for (const Stage& stage : plan) check(stage, groups, name_of(stage));
  parts.data.check();
  const std::int64_t batches = parts.data.train().batches();
  std::vector<PlannedStage> planned = plan_stages(plan, groups, batches, per_step);
  for (std::size_t i = 0; i < plan.size(); ++i) {
    if (plan[i].weight_decay) check_decays(*parts.setup.optimizer, groups, name_of(plan[i]));
    if (plan[i].max_batches.value_or(batches) >= batches) parts.data.check_last_batch(planned[i], name_of(plan[i]));
    if (plan[i].cache && plan[i].cache.required)
      FrozenPart(parts.setup, parts.data).check_cache(plan[i], planned[i], name_of(plan[i]));
  }
  return planned;
}

THAW_INLINE std::vector<StageDescription> describe(LearnerParts& parts, std::span<const Stage> plan,
                                                   const std::vector<Callback>& callbacks) {
  const RandomState random;
  const TrainingFlags flags{*parts.setup.groups.module()};
  const TrainingData::OnlyTried tried{parts.data};
  return describe(parts.setup.groups, plan, prepare(parts, plan, callbacks));
}

/// Ends a fit, however that comes.
class FitScope {
 public:
  FitScope(LearnerParts& parts, const RunningFit& fit, std::string plan)
      : parts_(parts), fit_(fit), plan_(std::move(plan)) {
    parts_.fit = &fit_;
  }
  FitScope(const FitScope&) = delete;
  FitScope& operator=(const FitScope&) = delete;
  ~FitScope() {
    parts_.control.end();
    end();
    for (const Callback& callback : fit_.callbacks) try {
        callback.on(FitEnd{.learner = parts_.learner});
      } catch (const std::exception& error) {
        TORCH_WARN("thaw: a callback failed as a fit ended: ", error.what());
      } catch (...) {
        TORCH_WARN("thaw: a callback failed as a fit ended");
      }
    parts_.fit = nullptr;
    parts_.engine.forget_graph();
  }

  EpochRecord last = {};

  void begin() { begun_ = true; }
  void end() {
    if (!std::exchange(begun_, false)) return;
    RunLog& log = parts_.log;
    log.fit_plans.push_back(plan_);
    log.fit_records.push_back(last);
    parts_.loop.cursor = {.fit = ++log.fits};
  }

 private:
  LearnerParts& parts_;
  const RunningFit& fit_;
  std::string plan_;
  bool begun_ = false;
};

THAW_INLINE EpochRecord run_fit(LearnerParts& parts, std::span<const Stage> plan, std::vector<Callback> given) {
  parts.refuse_in_callback("Learner::fit");
  check_grad_mode("Learner::fit");
  Setup& setup = parts.setup;
  RunLog& log = parts.log;
  TrainingCursor& cursor = parts.loop.cursor;
  if (log.has_next_fit()) return done_before(parts, plan);
  const bool goes_on = log.resumed && log.resumed->cursor.in_fit();
  if (goes_on) (void)setup.groups.freeze(log.resumed->cursor.frozen, log.resumed->cursor.norm);  // as it was planned
  cursor = {.fit = log.fits, .frozen = setup.groups.frozen(), .norm = setup.groups.norm_rule()};

  const std::vector<Callback> callbacks = setup.all_callbacks(std::move(given));
  const std::vector<PlannedStage> planned = prepare(parts, plan, callbacks);
  const RunningFit running{.callbacks = callbacks, .plan = plan_text(setup.groups, plan, planned)};
  FitScope scope{parts, running, in_short(plan)};
  if (goes_on) go_on(parts, *log.resumed);  // if it refuses, the program may try again
  log.resumed.reset();
  log.lr_curves.skip_to_end();
  log.decisions.skip_to_end();
  scope.begin();
  if (!goes_on && std::ranges::any_of(callbacks, &Callback::hears<FitBegin>)) {
    const std::vector<StageDescription> stages = describe(setup.groups, plan, planned);
    announce(setup.world, callbacks, FitBegin{.learner = parts.learner, .plan = stages});
  }

  for (auto i = static_cast<std::size_t>(cursor.stage); i < plan.size(); ++i) {
    RunningStage run{.stage = plan[i],
                     .optimizer = OptimizerGroups(*setup.optimizer, setup.groups),
                     .plan = planned[i],
                     .callbacks = callbacks};
    scope.last = parts.loop.run_stage(run);
    if (i + 1 == plan.size()) scope.end();
    parts.loop.safe_point(callbacks, SafePoint::After::stage);
  }
  return scope.last;
}

}  // namespace thaw::detail

#endif
