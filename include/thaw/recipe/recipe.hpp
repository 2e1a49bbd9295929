// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <thaw/find/lr_finder.hpp>
#include <thaw/train/learner_options.hpp>
#include <thaw/train/stage.hpp>

namespace thaw {

/// What `make_plan` is told: a budget, and no rate.
struct Recipe {
  std::int64_t epochs = 5;  ///< of the whole network, at most
  /// Wall time for all of it, what choosing takes included; 0: only `epochs` counts. What a run does take depends on
  /// what else the machine does. Fewer epochs are planned where it is short, and only the head where not one fits.
  double minutes = 0;
  /// Of images: training and validation data at a size, and the sizes that may be taken, up to the one that the network
  /// was pretrained for. Without, the Learner's data is used as it is.
  std::function<LearnerData(int size)> at_size = {};
  std::vector<int> sizes = {};
  std::string metric = {};   ///< by which the best state is kept; empty: the Learner's first metric, or else the loss
  std::int64_t folds = 4;    ///< of the training data, by which the head's rate and decay, and the size, are chosen
  std::int64_t line = 3;     ///< points tried between the head alone and the thawed network: see KeepBest::line
  double first_group = 0.1;  ///< the first group's rate to the last one's, once thawed
};

/// One stage of a recipe's plan: what Learner::fit is given, and what is seen to before.
struct RecipeStage {
  Stage stage = {};
  /// Run before the stage: stage.lr follows from its curve, at the ratios between groups that it has. None: stage.lr as
  /// it stands.
  std::optional<LRFinder> find = {};
  std::optional<double> head_decay = {};  ///< weight decay of the last group in this stage; none: the optimizer's own
  std::int64_t line = 0;                  ///< see KeepBest
  std::string why = {};
};

/// What a recipe will do: to be looked at, changed, and run by `run_plan`.
struct RecipePlan {
  std::string metric = {};       ///< by which the best state is kept
  std::optional<int> size = {};  ///< of images, where Recipe::at_size was given
  LearnerData data = {};         ///< what is trained on and validated with
  std::vector<RecipeStage> stages = {};
  std::vector<std::string> notes = {};  ///< what was chosen, or is worth knowing, in words
};

/// What a stage of a plan brought.
struct RecipeStageResult {
  std::string name = {};
  double lr = 0;                 ///< the last group's, at its peak; 0 where the stage was left out
  double before = 0, after = 0;  ///< of RecipePlan::metric, on the validation data
  std::string what = {};  ///< what was kept, or why the stage was left out; empty in a run that was resumed after it
};

struct RecipeResult {
  std::string metric = {};
  std::vector<RecipeStageResult> stages = {};
  Evaluation valid = {};  ///< of what the model is left with
};

}  // namespace thaw
