#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/ScopeExit.h>
#include <torch/optim/adamw.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/recipe/detail/check_data.hpp>
#include <thaw/recipe/head_trials.hpp>
#include <thaw/recipe/hold_out.hpp>
#include <thaw/recipe/recipe.hpp>
#include <thaw/train/learner.hpp>

namespace thaw {

namespace detail {

/// Whether a norm layer's running statistics are those that it was made with: mean 0, variance 1.
inline bool never_measured(const torch::nn::Module& norm) {
  const auto buffers = norm.named_buffers(/*recurse=*/false);
  const auto* mean = buffers.find("running_mean");
  const auto* var = buffers.find("running_var");
  return mean != nullptr && var != nullptr && mean->defined() && mean->eq(0).all().item<bool>() &&
         var->eq(1).all().item<bool>();
}

/// Groups in which there is such a layer.
inline std::vector<std::string> never_measured(const LayerGroups& groups) {
  std::vector<std::string> names;
  for (const LayerGroup& group : groups)
    if (std::ranges::any_of(group.norms, [](const auto& layer) { return never_measured(*layer); }))
      names.push_back(group.name);
  return names;
}

/// Epochs of the whole network for which there is time, by what a pass forward over the training data takes, once
/// `to_come` seconds more are spent: forward and backward take about three such passes. Before and between them come the
/// head's two, the finder, and the validations.
inline double epochs_within(const Recipe& recipe, const LearnerData& data,
                            std::chrono::steady_clock::time_point begin, double forward, double to_come) {
  const auto most = static_cast<double>(recipe.epochs);
  if (recipe.minutes == 0) return most;
  const auto samples = [](const DataSource& source) {
    return static_cast<double>(source.numbered() ? source.numbered()->samples : source.batches());
  };
  const double spent = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() + to_come;
  const double valid = forward * samples(data.valid) / samples(data.train);
  const double finder = forward * 8000 / samples(data.train);  // samples forward, or backward and forward
  const double left = 60 * recipe.minutes - spent - 2 * forward - finder - static_cast<double>(recipe.line + 4) * valid;
  return std::clamp(std::floor(left / (3 * forward + valid)), 0.0, most);
}

/// What a program decides by the head's trials, as numbers: see Learner::decide_once.
struct HeadChoice {
  std::size_t size = 0;  ///< which of Recipe::sizes
  double lr = 0, decay = 0, epochs = 0, loss = 0;
  double thawed_epochs = 0;
  bool known = false;

  [[nodiscard]] std::vector<double> numbers() const {
    return {static_cast<double>(size), lr, decay, epochs, loss, thawed_epochs, known ? 1.0 : 0.0};
  }
  [[nodiscard]] static HeadChoice of(const std::vector<double>& n) {
    return {.size = static_cast<std::size_t>(n.at(0)),
            .lr = n.at(1),
            .decay = n.at(2),
            .epochs = n.at(3),
            .loss = n.at(4),
            .thawed_epochs = n.at(5),
            .known = n.at(6) != 0};
  }
};

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
///    the two (WiSE-FT), the head alone included; with that to fall back on, the rate is as high as the finder's held-out
///    loss bears (see suggest_edge).
///
/// Sources: Kumar et al. 2022, arXiv:2202.10054; Wortsman et al. 2021, arXiv:2109.01903. docs/outcome.md says what each
/// of these brings. Throws ConfigError and DataError, before anything is changed.
[[nodiscard]] inline RecipePlan make_plan(Learner& learner, const Recipe& recipe = {}) {
  const auto begin = std::chrono::steady_clock::now();
  detail::check(recipe, learner);
  RecipePlan plan{.metric = recipe.metric};
  if (plan.metric.empty()) plan.metric = learner.metrics().empty() ? "valid_loss" : learner.metrics()[0].name;

  const LearnerData own = learner.data();
  std::vector<int> px = recipe.sizes;
  std::ranges::sort(px);
  const auto data_at = [&](std::size_t i) -> LearnerData {
    LearnerData data = px.empty() ? own : recipe.at_size(px[i]);
    if (data.train && !data.valid) data = hold_out(data.train);
    return data;
  };
  const std::size_t sizes = std::max<std::size_t>(px.size(), 1);
  const bool held_out = !(px.empty() ? own : recipe.at_size(px[0])).valid;
  plan.data = data_at(0);
  plan.notes = detail::check_data(plan.data);
  if (held_out) plan.notes.emplace_back("there is no validation data: a fifth of the training data is held back");

  NormRule head_norm = hold_everywhere, norm = hold_everywhere;
  if (const std::vector<std::string> fresh = detail::never_measured(learner.groups()); !fresh.empty()) {
    head_norm = {};
    if (fresh != std::vector{names_of(learner.groups()).back()}) norm = {};
    plan.notes.push_back("norm layers of " + join_names(fresh) + " have never seen data: " +
                         (norm == NormRule{} ? "all of them train once thawed, and would be held otherwise"
                                             : "they measure it while the head trains, then they are held as all others"));
  }

  const bool has_body = learner.groups().size() > 1;
  const bool adamw = dynamic_cast<torch::optim::AdamW*>(&learner.optimizer()) != nullptr;
  std::string why_not = !has_body ? "there is one layer group, so no head apart from a body" : "";
  if (why_not.empty() && !adamw) why_not = "the optimizer is not AdamW, which the head's trials are made with";
  const std::vector<bool> frozen = learner.groups().frozen();
  const NormRule norm_before = learner.groups().norm_rule();
  const auto as_it_was = c10::make_scope_exit([&] {
    (void)learner.groups().freeze(frozen, norm_before);
    learner.data(own);
  });

  const auto decided = learner.decide_once([&] {
    detail::HeadChoice choice{.size = 0, .thawed_epochs = static_cast<double>(recipe.epochs)};
    if (why_not.empty()) learner.freeze(head_norm);
    double forward = 0;  // seconds that a pass over the training data takes, at the last size
    for (std::size_t i = 0; i < sizes && why_not.empty(); ++i) try {
        if (forward > 0) forward *= std::pow(static_cast<double>(px[i]) / static_cast<double>(px[i - 1]), 2);
        const auto epochs = [&](double to_come) { return detail::epochs_within(recipe, plan.data, begin, forward, to_come); };
        if (choice.known && epochs(forward) < 1) {
          plan.notes.push_back(std::to_string(px[i]) + " px: no epoch of the whole network would fit");
          continue;
        }
        learner.data(data_at(i));
        const HeadTrials trials = try_heads(learner, recipe.folds);
        forward = trials.seconds;
        const HeadTrial& best = trials.best();
        plan.notes.push_back((px.empty() ? "" : std::to_string(px[i]) + " px: ") + "held-out loss of the head, over " +
                             std::to_string(recipe.folds) + " folds: " + detail::number(best.loss));
        if (choice.known && (epochs(0) < 1 || !(best.loss < choice.loss))) continue;
        choice = {.size = i,
                  .lr = best.lr,
                  .decay = best.decay,
                  .epochs = static_cast<double>(trials.epochs),
                  .loss = best.loss,
                  .thawed_epochs = epochs(0),
                  .known = true};
      } catch (const ConfigError& error) {
        why_not = error.what();
      }
    return choice.numbers();
  });
  const auto choice = detail::HeadChoice::of(decided);
  if (!px.empty()) plan.size = px.at(choice.size), plan.data = data_at(choice.size);
  const auto epochs = static_cast<std::int64_t>(choice.thawed_epochs);

  if (has_body) {
    RecipeStage head{.stage = {.name = "head", .freeze = FreezeTo{-1}, .norm = head_norm}};
    if (choice.known) {
      head.stage.epochs = static_cast<std::int64_t>(choice.epochs);
      head.stage.lr = DiscriminativeLR::slice(choice.lr);
      if (!plan.data.train.numbered() || !plan.data.valid.numbered())  // then each epoch runs the whole body
        head.stage.epochs = std::min(head.stage.epochs, std::max<std::int64_t>(1, epochs));
      else
        head.stage.cache = {.where = Cache::Where::memory,
                            .passes = detail::augments(*plan.data.train.numbered()) ? 2 : 1,
                            .required = false};
      head.head_decay = choice.decay;
      head.why = "rate " + detail::number(choice.lr) + " and decay " + detail::number(choice.decay) +
                 " had the lowest held-out loss of nine";
    } else {
      head.stage.epochs = std::max<std::int64_t>(1, (epochs + 1) / 2);
      head.find = LRFinder{};
      head.why = "its rate comes from the finder: " + (why_not.empty() ? "folds were not possible" : why_not);
    }
    plan.stages.push_back(std::move(head));
  }
  if (epochs < 1) {
    plan.notes.push_back("no epoch of the whole network fits into " + detail::number(recipe.minutes) +
                         " minutes: the head alone is trained");
    return plan;
  }
  plan.stages.push_back({.stage = {.name = "thawed", .epochs = epochs, .freeze = Unfrozen{}, .norm = norm},
                         .find = LRFinder{.start_lr = 1e-6,  // a thawed network's curve is flat below
                                          .end_lr = 1,
                                          .steps = 60,
                                          .rates = DiscriminativeLR::slice(recipe.first_group, 1),
                                          .held_out_every = 3},
                         .line = recipe.line,
                         .why = "as fast as the finder's held-out loss bears; it ends at the best point between the head "
                                "alone and its own end"});
  return plan;
}

}  // namespace thaw
