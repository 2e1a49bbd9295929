// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/bincount.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/recipe/recipe.hpp>
#include <thaw/train/learner.hpp>

namespace thaw::detail {

/// Classes as numbers from 0, one for each sample: what can be counted. Undefined for targets of another kind, and
/// where the source cannot tell them.
inline at::Tensor labels_of(const DataSource& source) {
  if (source.targets().size() != 1) return {};
  const at::Tensor targets = source.targets()[0];
  if (targets.scalar_type() != at::kLong || targets.dim() != 1 || targets.numel() == 0) return {};
  return targets.min().item<std::int64_t>() < 0 ? at::Tensor() : targets.cpu();
}

/// Whether all samples have the same target, so that there is nothing to tell apart. Of one sample nothing can be said.
inline bool all_alike(const DataSource& source) {
  if (source.targets().size() != 1) return false;
  const at::Tensor targets = source.targets()[0];
  return targets.dim() > 0 && targets.size(0) > 1 && targets.eq(targets.slice(0, 0, 1)).all().item<bool>();
}

inline void check(const Recipe& recipe, const Learner& learner) {
  if (recipe.epochs < 1 || recipe.minutes < 0)
    throw ConfigError(
        "Recipe", "a budget of " + std::to_string(recipe.epochs) + " epochs and " + number(recipe.minutes) + " minutes",
        "give at least one epoch; 0 minutes leave the time open");
  if (recipe.at_size == nullptr && !recipe.sizes.empty())
    throw ConfigError("Recipe", "there are sizes, and no data at a size", "give at_size, or no sizes");
  if (recipe.at_size != nullptr && recipe.sizes.empty())
    throw ConfigError("Recipe", "at_size is given without sizes",
                      "give sizes, the largest that which the network was pretrained for: {128, 224}");
  if (recipe.folds < 2) throw ConfigError("Recipe", std::to_string(recipe.folds) + " folds", "give at least 2");
  if (!(recipe.first_group > 0))
    throw ConfigError("Recipe", "first_group is " + number(recipe.first_group), "give more than 0: 0.1");
  if (!recipe.metric.empty()) {
    std::vector<std::string> known{"valid_loss"};
    for (const Metric& metric : learner.metrics()) known.push_back(metric.name);
    if (std::ranges::find(known, recipe.metric) == known.end())
      throw ConfigError("Recipe", "no metric is called \"" + recipe.metric + "\"", "take one of: " + join_names(known));
  }
}

/// Throws DataError for data that nothing can be learnt from, or told by; gives what is odd about the rest.
inline std::vector<std::string> check_data(const LearnerData& data) {
  if (!data.train || data.train.batches() == 0)
    throw DataError("training data", "there are no batches", "give LearnerOptions::train at least one batch");
  for (const auto& [source, name] : {std::pair(&data.train, "training"), std::pair(&data.valid, "validation")})
    if (*source && all_alike(*source))
      throw DataError(std::string(name) + " data",
                      "all samples have the same target, so there is nothing to tell apart",
                      "give samples of at least two classes");
  std::vector<std::string> notes;
  if (const at::Tensor labels = labels_of(data.train); labels.defined()) {
    const at::Tensor counts = labels.bincount();
    std::string alone;
    for (std::int64_t c = 0; c < counts.numel(); ++c)
      if (counts[c].item<std::int64_t>() == 1) alone += (alone.empty() ? "" : ", ") + std::to_string(c);
    if (!alone.empty()) notes.push_back("classes with one training sample, of which little can be learnt: " + alone);
  }
  if (data.train.batches() == 1) notes.emplace_back("the training data is one batch: an epoch has one step");
  return notes;
}

}  // namespace thaw::detail
