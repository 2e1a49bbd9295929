// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/find/lr_curve.hpp>
#include <thaw/find/suggest.hpp>
#include <thaw/groups/optimizer_groups.hpp>
#include <thaw/recipe/make_plan.hpp>
#include <thaw/recipe/recipe.hpp>
#include <thaw/train/keep_best.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/monitor.hpp>

namespace thaw {

namespace detail {

/// Ends a stage in which an epoch's training loss is above `most`, or is not a number.
struct EndAbove {
  double most = std::numeric_limits<double>::max();

  void on_epoch_end(const EpochEnd& event) const {
    if (!(event.record.train_loss <= most)) event.learner.stop(reason());
  }
  [[nodiscard]] std::string reason() const { return "the training loss rose above " + number(most); }
};

/// Four times the loss, of training or of held-out samples, that a sweep began with.
double most_loss(const LRCurve& curve);

DiscriminativeLR a_third_of(std::vector<double> rates);

}  // namespace detail

/// Runs a recipe's plan: each stage with its finder, its data and KeepBest, so that none ends worse on the validation
/// data than it began. A stage with a line trains at the finder's `edge` (see suggest_edge), others at its recommended
/// rate. A sweep warms up for longer than a short stage does, so a fresh decoder may not bear what the finder says:
/// where an epoch's training loss is four times what the sweep began with, or is not finite, the stage begins again at
/// a third of the rate, up to three times. Callbacks are those of every stage's fit. A stage for which the finder has
/// no rate is left out, and the result says so. Goes on where it was interrupted in a program that is resumed
/// (Learner::resume).
template <class... Callbacks>
RecipeResult run_plan(Learner& learner, RecipePlan plan, Callbacks... callbacks) {
  RecipeResult result{.metric = plan.metric};
  learner.data(plan.data);
  Monitor monitor{plan.metric};
  monitor.settle(learner, "run_plan");
  std::optional<Evaluation> valid;  // of the model as it is, where it was measured by this process
  const auto value = [&] {
    return learner.decide_once([&] {
      if (!valid) valid = learner.validate();
      return std::vector{monitor.value({.valid = valid})};
    })[0];
  };
  const OptimizerGroups optimizer(learner.optimizer(), learner.groups());
  const std::size_t head = learner.groups().size() - 1;
  const std::optional<double> own_decay = optimizer.weight_decay(head);
  double before = value();
  std::vector<std::string> why = plan.notes;
  for (RecipeStage& planned : plan.stages) {
    Stage& stage = planned.stage;
    RecipeStageResult& told = result.stages.emplace_back(RecipeStageResult{.name = stage.name, .before = before});
    detail::EndAbove above;
    if (planned.find) {
      forget_state(learner.optimizer(), apply(stage.freeze, learner.groups(), stage.norm, {}));
      const LRCurve curve = learner.find_lr(*planned.find, callbacks...);
      std::optional<Suggestion> found = planned.line > 0 ? suggest_edge(curve) : std::nullopt;
      if (!found) found = recommended(curve);
      if (!found) {
        told.after = before;
        told.what = "left out: the finder's loss never rose for good, so it gives no rate";
        continue;
      }
      std::vector<double> rates = planned.find->rates(learner.groups().size());
      for (double& rate : rates) rate *= found->lr / rates.back();
      stage.lr = DiscriminativeLR::each(std::move(rates));
      above.most = detail::most_loss(curve);
    }
    stage.why.insert(stage.why.begin(), why.begin(), why.end());
    why.clear();
    if (!planned.why.empty()) stage.why.push_back(planned.why);
    if (planned.head_decay) optimizer.set_weight_decay(head, *planned.head_decay);
    const auto told_what = [&](const std::string& what, const Evaluation& kept) { told.what = what, valid = kept; };
    for (int slower = 0; slower < 4; ++slower) {
      if (slower > 0) {
        stage.lr = detail::a_third_of(stage.lr(learner.groups().size()));
        stage.reset_optimizer = true;
        stage.why.emplace_back("begins again, at a third of the rate: " + above.reason());
      }
      const KeepBest keep{
          .monitor = monitor, .line = planned.line, .as_it_begins = std::exchange(valid, {}), .on_kept = told_what};
      if (learner.fit(stage, keep, above, callbacks...).stop != above.reason()) break;
    }
    told.lr = stage.lr(learner.groups().size()).back();
    if (own_decay) optimizer.set_weight_decay(head, *own_decay);
    told.after = before = value();
  }
  result.valid = valid ? *valid : learner.validate();
  return result;
}

/// make_plan, and run_plan: fine-tunes the Learner's model within a budget, with no rate to give.
///
///     thaw::Learner learner(model, groups, thaw::cross_entropy,
///                           {.train = train, .valid = valid, .metrics = {thaw::accuracy()}});
///     const thaw::RecipeResult result = thaw::run_recipe(learner, {.epochs = 5});
///
/// The network never ends below its own head on the validation data. To see what was chosen, and why, or to change it,
/// call the two: `thaw::RecipePlan plan = thaw::make_plan(learner, {...}); ... thaw::run_plan(learner, plan);`.
template <class... Callbacks>
RecipeResult run_recipe(Learner& learner, const Recipe& recipe = {}, Callbacks... callbacks) {
  return run_plan(learner, make_plan(learner, recipe), std::move(callbacks)...);
}

}  // namespace thaw

#if THAW_DEFINES(recipe)

namespace thaw::detail {

THAW_INLINE double most_loss(const LRCurve& curve) {
  double begin = std::abs(curve.loss.at(0));
  if (!curve.held_out.empty()) begin = std::max(begin, std::abs(curve.held_out[0]));
  return 4 * begin;
}

THAW_INLINE DiscriminativeLR a_third_of(std::vector<double> rates) {
  for (double& rate : rates) rate /= 3;
  return DiscriminativeLR::each(std::move(rates));
}

}  // namespace thaw::detail

#endif
