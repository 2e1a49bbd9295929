// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/ScopeExit.h>
#include <torch/optim/adamw.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/core/seconds_since.hpp>
#include <thaw/recipe/detail/check_data.hpp>
#include <thaw/recipe/head_trials.hpp>
#include <thaw/recipe/hold_out.hpp>
#include <thaw/recipe/recipe.hpp>
#include <thaw/train/learner.hpp>

namespace thaw {

namespace detail {

/// Whether a norm layer's running statistics are those that it was made with: mean 0, variance 1.
bool never_measured(const torch::nn::Module& norm);

/// Groups in which there is such a layer.
std::vector<std::string> never_measured(const LayerGroups& groups);

/// What the head's trials decide, as numbers: see Learner::decide_once.
struct HeadChoice {
  std::size_t size = 0;                    ///< which of the sizes
  double lr = 0, decay = 0, loss = 0;      ///< lr is 0 where the head could not be tried
  std::int64_t epochs = 0, thawed_epochs;  ///< of the head, of the whole network

  [[nodiscard]] bool known() const { return lr > 0; }
  [[nodiscard]] std::vector<double> numbers() const;
  [[nodiscard]] static HeadChoice of(const std::vector<double>& n);
};

/// Chooses how the head is trained, and at which size of images.
class ChooseHead {
 public:
  /// `px`: sizes, ascending; empty: the data as it is. `data_at(i)` at each of them. What was found goes to `notes`.
  ChooseHead(Learner& learner, const Recipe& recipe, const std::vector<int>& px,
             const std::function<LearnerData(std::size_t)>& data_at, std::vector<std::string>& notes)
      : learner_(learner), recipe_(recipe), px_(px), data_at_(data_at), notes_(notes) {}

  /// Freezes all but the head, and leaves the Learner with the data of the last size. Says in `why_not` why the head
  /// could not be tried.
  [[nodiscard]] HeadChoice operator()(NormRule norm, std::string& why_not);

 private:
  /// Epochs of the whole network for which there is time, by what a pass forward over the training data takes, once
  /// `to_come` seconds more are spent: forward and backward take about three such passes. Before and between them come
  /// the head's two, the finder, and the validations.
  [[nodiscard]] std::int64_t epochs_within(double forward, double to_come) const;

  Learner& learner_;
  const Recipe& recipe_;
  const std::vector<int>& px_;
  const std::function<LearnerData(std::size_t)>& data_at_;
  std::vector<std::string>& notes_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

/// The stage that trains the head, by what was chosen, or else by the finder.
RecipeStage head_stage(const HeadChoice& choice, const LearnerData& data, NormRule norm, const std::string& why_not);

}  // namespace detail

/// Looks at the model and its data, and plans how to fine-tune it. Trains nothing, and leaves the Learner as it was.
///
/// 1. Data that nothing can be learnt from is refused. Where there is none for validation, a fifth of the training data
///    is held back.
/// 2. Norm layers are held: few samples are too few to measure anew. Those of a new head, which have never measured
///    anything, do so while the head trains. Where others never have, all train.
/// 3. The head's rate and decay are chosen by folds on what the frozen body makes of the training data, at each of
///    Recipe::sizes, and so is the size: that with the lowest loss. A budget in minutes leaves out sizes at which no
///    epoch of the whole network fits. Where folds are not possible (see try_heads), the finder gives the head's rate.
/// 4. Then all groups train: LP-FT's order, a converged head first. What is kept is the best point of the line between
///    the two (WiSE-FT), the head alone included; with that to fall back on, the rate is as high as the finder's
///    held-out loss bears (see suggest_edge).
///
/// Sources: Kumar et al. 2022, arXiv:2202.10054; Wortsman et al. 2021, arXiv:2109.01903. docs/outcome.md says what each
/// of these brings. Throws ConfigError and DataError, before anything is changed.
[[nodiscard]] RecipePlan make_plan(Learner& learner, const Recipe& recipe = {});

}  // namespace thaw

#if THAW_DEFINES(recipe)

namespace thaw::detail {

THAW_INLINE bool never_measured(const torch::nn::Module& norm) {
  const auto buffers = norm.named_buffers(/*recurse=*/false);
  const auto* mean = buffers.find("running_mean");
  const auto* var = buffers.find("running_var");
  return mean != nullptr && var != nullptr && mean->defined() && mean->eq(0).all().item<bool>() &&
         var->eq(1).all().item<bool>();
}

THAW_INLINE std::vector<std::string> never_measured(const LayerGroups& groups) {
  std::vector<std::string> names;
  for (const LayerGroup& group : groups)
    if (std::ranges::any_of(group.norms, [](const auto& layer) { return never_measured(*layer); }))
      names.push_back(group.name);
  return names;
}

THAW_INLINE std::vector<double> HeadChoice::numbers() const {
  return {static_cast<double>(size), lr, decay, loss, static_cast<double>(epochs), static_cast<double>(thawed_epochs)};
}

THAW_INLINE HeadChoice HeadChoice::of(const std::vector<double>& n) {
  return {.size = static_cast<std::size_t>(n.at(0)),
          .lr = n.at(1),
          .decay = n.at(2),
          .loss = n.at(3),
          .epochs = static_cast<std::int64_t>(n.at(4)),
          .thawed_epochs = static_cast<std::int64_t>(n.at(5))};
}

THAW_INLINE HeadChoice ChooseHead::operator()(NormRule norm, std::string& why_not) {
  HeadChoice choice{.thawed_epochs = recipe_.epochs};
  learner_.freeze(norm);
  double forward = 0;  // seconds that a pass over the training data takes, at the last size
  try {
    for (std::size_t i = 0; i < std::max<std::size_t>(px_.size(), 1); ++i) {
      const std::string size = px_.empty() ? "" : std::to_string(px_[i]) + " px: ";
      if (choice.known()) {  // a smaller size was tried
        forward *= std::pow(static_cast<double>(px_[i]) / static_cast<double>(px_[i - 1]), 2);
        if (epochs_within(forward, /*to_come=*/forward) < 1) {
          notes_.push_back(size + "no epoch of the whole network would fit");
          continue;
        }
      }
      learner_.data(data_at_(i));
      const HeadTrials trials = try_heads(learner_, recipe_.folds);
      const HeadTrial& best = trials.best();
      forward = trials.seconds;
      notes_.push_back(size + "held-out loss of the head, over " + std::to_string(recipe_.folds) +
                       " folds: " + number(best.loss));
      const std::int64_t thawed = epochs_within(forward, 0);
      if (choice.known() && (thawed < 1 || !(best.loss < choice.loss))) continue;
      choice = {.size = i,
                .lr = best.lr,
                .decay = best.decay,
                .loss = best.loss,
                .epochs = trials.epochs,
                .thawed_epochs = thawed};
    }
  } catch (const ConfigError& error) {
    why_not = error.what();
  }
  return choice;
}

THAW_INLINE std::int64_t ChooseHead::epochs_within(double forward, double to_come) const {
  if (recipe_.minutes == 0) return recipe_.epochs;
  const auto samples = [](const DataSource& source) {
    return static_cast<double>(source.indexed() ? source.indexed()->samples : source.batches());
  };
  const LearnerData& data = learner_.data();
  const double valid = forward * samples(data.valid) / samples(data.train);
  const double finder = forward * 8000 / samples(data.train);  // samples forward, or backward and forward
  const double left = 60 * recipe_.minutes - seconds_since(begin_) - to_come - 2 * forward - finder -
                      static_cast<double>(recipe_.line + 4) * valid;
  return static_cast<std::int64_t>(
      std::clamp(std::floor(left / (3 * forward + valid)), 0.0, static_cast<double>(recipe_.epochs)));
}

THAW_INLINE RecipeStage head_stage(const HeadChoice& choice, const LearnerData& data, NormRule norm,
                                   const std::string& why_not) {
  RecipeStage head{.stage = {.name = "head", .freeze = FreezeTo{-1}, .norm = norm}};
  if (!choice.known()) {
    head.stage.epochs = std::max<std::int64_t>(1, (choice.thawed_epochs + 1) / 2);
    head.find = LRFinder{.start_lr = 1e-6, .steps = 70, .held_out_every = 3};  // ten a decade
    head.why = "its rate comes from the finder: " + (why_not.empty() ? "folds were not possible" : why_not);
    return head;
  }
  head.stage.epochs = choice.epochs;
  head.stage.lr = DiscriminativeLR::slice(choice.lr);
  head.head_decay = choice.decay;
  head.why = "rate " + number(choice.lr) + " and decay " + number(choice.decay) +
             " had the lowest held-out loss of those tried";
  if (!data.train.indexed() || !data.valid.indexed())  // then each epoch runs the whole body
    head.stage.epochs = std::min(head.stage.epochs, std::max<std::int64_t>(1, choice.thawed_epochs));
  else
    head.stage.cache = {
        .where = Cache::Where::memory, .passes = augments(*data.train.indexed()) ? 2 : 1, .required = false};
  return head;
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE RecipePlan make_plan(Learner& learner, const Recipe& recipe) {
  detail::check(recipe, learner);
  RecipePlan plan{.metric = recipe.metric};
  if (plan.metric.empty()) plan.metric = learner.metrics().empty() ? "valid_loss" : learner.metrics()[0].name;

  const LearnerData own = learner.data();
  std::vector<int> px = recipe.sizes;
  std::ranges::sort(px);
  const std::function<LearnerData(std::size_t)> given_at = [&](std::size_t i) {
    return px.empty() ? own : recipe.at_size(px[i]);
  };
  const std::function<LearnerData(std::size_t)> data_at = [&](std::size_t i) {
    LearnerData data = given_at(i);
    return data.train && !data.valid ? hold_out(data.train) : data;
  };
  plan.data = given_at(0);
  const bool held_out = plan.data.train && !plan.data.valid;
  if (held_out) plan.data = hold_out(plan.data.train);
  plan.notes = detail::check_data(plan.data);
  if (held_out) plan.notes.emplace_back("there is no validation data: a fifth of the training data is held back");

  NormRule head_norm = hold_everywhere, norm = hold_everywhere;
  if (const std::vector<std::string> fresh = detail::never_measured(learner.groups()); !fresh.empty()) {
    head_norm = {};
    if (fresh != std::vector{names_of(learner.groups()).back()}) norm = {};
    plan.notes.push_back("norm layers of " + join_names(fresh) + " have never seen data: " +
                         (norm == NormRule{}
                              ? "all of them train once thawed, and would be held otherwise"
                              : "they measure it while the head trains, then they are held as all others"));
  }

  const bool has_body = learner.groups().size() > 1;
  std::string why_not;
  if (!has_body)
    why_not = "there is one layer group, so no head apart from a body";
  else if (dynamic_cast<torch::optim::AdamW*>(&learner.optimizer()) == nullptr)
    why_not = "the optimizer is not AdamW, which the head's trials are made with";
  const std::vector<bool> frozen = learner.groups().frozen();
  const NormRule norm_before = learner.groups().norm_rule();
  const auto as_it_was = c10::make_scope_exit([&] {
    (void)learner.groups().freeze(frozen, norm_before);
    learner.data(own);
  });
  const auto choice = detail::HeadChoice::of(learner.decide_once([&] {
    if (!why_not.empty()) return detail::HeadChoice{.thawed_epochs = recipe.epochs}.numbers();
    return detail::ChooseHead(learner, recipe, px, data_at, plan.notes)(head_norm, why_not).numbers();
  }));
  if (!px.empty()) plan.size = px.at(choice.size);
  if (choice.size > 0) plan.data = data_at(choice.size);

  if (has_body) plan.stages.push_back(detail::head_stage(choice, plan.data, head_norm, why_not));
  if (choice.thawed_epochs < 1) {
    plan.notes.push_back("no epoch of the whole network fits into " + detail::number(recipe.minutes) +
                         " minutes: the head alone is trained");
    return plan;
  }
  plan.stages.push_back(
      {.stage = {.name = "thawed", .epochs = choice.thawed_epochs, .freeze = Unfrozen{}, .norm = norm},
       .find = LRFinder{.start_lr = 1e-6,  // a thawed network's curve is flat below
                        .end_lr = 1,
                        .steps = 60,
                        .rates = DiscriminativeLR::slice(recipe.first_group, 1),
                        .held_out_every = 3},
       .line = recipe.line,
       .why = "as fast as the finder's held-out loss bears; it ends at the best point between the "
              "head alone and its own end"});
  return plan;
}

}  // namespace thaw

#endif
