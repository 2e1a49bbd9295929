// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/bincount.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>

namespace thaw {

/// Weights with which each class counts as much as any other, for CrossEntropy::weight: [classes], float.
///
///     weight of class c = samples / (classes * samples of c)
///
/// `labels`: int64 [samples], as DataSource::targets() has them. `classes`: 0 for as many as the largest label says.
/// Throws DataError for a class without a sample, whose weight would be infinite. As scikit-learn's
/// compute_class_weight("balanced").
[[nodiscard]] at::Tensor class_weights(const at::Tensor& labels, std::int64_t classes = 0);

/// Weights with which samples of each class are drawn as often, for InMemoryOptions::weights and
/// ImageSourceOptions::weights: [samples], double; that of its class for each sample. The two ways to balance are
/// alternatives: with both, rare classes count twice.
[[nodiscard]] at::Tensor balanced_weights(const at::Tensor& labels);

}  // namespace thaw

#if THAW_DEFINES(data)

namespace thaw {

namespace detail {

inline at::Tensor counts_of_classes(const char* who, const at::Tensor& labels, std::int64_t classes) {
  if (!labels.defined() || labels.dim() != 1 || labels.numel() == 0 ||
      (labels.scalar_type() != at::kLong && labels.scalar_type() != at::kByte))
    throw DataError(who, "the labels are no class numbers", "give int64 [samples], as a source's targets() are");
  const auto lowest = labels.min().item<std::int64_t>(), highest = labels.max().item<std::int64_t>();
  if (lowest < 0 || (classes > 0 && highest >= classes))
    throw DataError(who, "there is a label " + std::to_string(lowest < 0 ? lowest : highest),
                    "number the classes from 0" + (classes > 0 ? " to " + std::to_string(classes - 1) : std::string()));
  return labels.cpu().bincount({}, classes);
}

}  // namespace detail

THAW_INLINE at::Tensor class_weights(const at::Tensor& labels, std::int64_t classes) {
  const at::Tensor counts = detail::counts_of_classes("class_weights", labels, classes);
  for (std::int64_t c = 0; c < counts.numel(); ++c)
    if (counts[c].item<std::int64_t>() == 0)
      throw DataError("class_weights", "class " + std::to_string(c) + " has no sample",
                      "give samples of each class, or leave the class out");
  return (static_cast<double>(labels.numel()) / (static_cast<double>(counts.numel()) * counts.to(at::kDouble)))
      .to(at::kFloat);
}

THAW_INLINE at::Tensor balanced_weights(const at::Tensor& labels) {
  const at::Tensor counts = detail::counts_of_classes("balanced_weights", labels, 0);
  return counts.to(at::kDouble).reciprocal().index_select(0, labels.cpu().to(at::kLong));
}

}  // namespace thaw

#endif
