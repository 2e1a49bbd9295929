// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/randperm.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/recipe/detail/check_data.hpp>
#include <thaw/train/learner_options.hpp>

namespace thaw {

/// `k` ways to divide a source into training and validation data, for cross-validation: each sample is held out once.
/// Stratified where the targets are classes: each fold has of each class as many samples as the others, or one more.
/// The same folds for the same seed. Held-out samples go through the transforms of the source: for others, divide two
/// sources of the same samples by the same seed, and take `.train` of one and `.valid` of the other.
///
///     for (const thaw::LearnerData& fold : thaw::folds(source, 5)) { ... }
///
/// Throws DataError for a source that cannot give a part of itself (see DataSource::Indexed), for fewer samples than
/// folds, and for a class with one sample, which one fold could not learn. As scikit-learn's StratifiedKFold.
[[nodiscard]] std::vector<LearnerData> folds(const DataSource& source, std::int64_t k, std::uint64_t seed = 0);

}  // namespace thaw

#if THAW_DEFINES(recipe)

namespace thaw {

THAW_INLINE std::vector<LearnerData> folds(const DataSource& source, std::int64_t k, std::uint64_t seed) {
  if (k < 2) throw ConfigError("folds", std::to_string(k) + " folds", "give at least 2");
  if (!source.indexed() || !source.indexed()->subset)
    throw DataError("folds", "the source cannot give a part of itself",
                    "give a thaw::InMemory or thaw::vision::ImageSource");
  const std::int64_t samples = source.indexed()->samples;
  if (samples < k)
    throw DataError("folds", std::to_string(samples) + " samples for " + std::to_string(k) + " folds",
                    "give more samples, or fewer folds");
  at::Tensor order =
      at::randperm(samples, at::make_generator<at::CPUGeneratorImpl>(seed), at::TensorOptions(at::kLong));
  if (const at::Tensor labels = detail::labels_of(source); labels.defined()) {
    const at::Tensor counts = labels.bincount();
    for (std::int64_t c = 0; c < counts.numel(); ++c)
      if (counts[c].item<std::int64_t>() == 1)
        throw DataError("folds", "class " + std::to_string(c) + " has one sample", "give at least two of each class");
    // One class behind the other: dealt out in turn, each fold gets as many of each.
    order = order.index_select(0, std::get<1>(labels.index_select(0, order).sort(std::optional<bool>(true), 0)));
  }
  const at::Tensor fold = at::arange(samples, at::kLong).remainder(k);
  const auto part = [&](const at::Tensor& which) {
    return source.indexed()->subset(std::get<0>(order.masked_select(which).sort()));
  };
  std::vector<LearnerData> result;
  result.reserve(static_cast<std::size_t>(k));
  for (std::int64_t f = 0; f < k; ++f) result.push_back({.train = part(fold.ne(f)), .valid = part(fold.eq(f))});
  return result;
}

}  // namespace thaw

#endif
