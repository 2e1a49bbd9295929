// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/aminmax.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include <thaw/core/error.hpp>
#include <thaw/train/detail/shapes.hpp>
#include <thaw/train/metric.hpp>

namespace thaw::detail {

/// Rows "right" (true positives), "predicted" and "actual", one column per class: double [3, classes]. The prediction
/// is the index of the largest output along dimension 1; where that has one entry, a logit, class 1 of two where it is
/// > 0. `target` is [N, ...], or [N, 1, ...].
inline at::Tensor class_counts(const std::string& name, const at::Tensor& output, at::Tensor target,
                               const std::optional<std::int64_t>& ignore_index) {
  if (target.dim() > 1 && target.dim() == output.dim() && target.size(1) == 1) target = target.squeeze(1);
  check_class_shapes(name, output.sizes(), target.sizes());
  const at::Tensor predicted = predicted_class(output).flatten();
  at::Tensor actual = target.flatten().to(at::kLong);
  at::Tensor weight = at::ones_like(actual, actual.options().dtype(at::kDouble));
  if (ignore_index) {
    const at::Tensor ignored = actual.eq(*ignore_index);
    weight = weight.masked_fill(ignored, 0);
    actual = actual.masked_fill(ignored, 0);  // an index that there is; its weight is 0
  }
  if (actual.is_cpu() && actual.numel() > 0) {  // a device would have to be waited for
    const auto [lowest, highest] = at::aminmax(actual);
    if (lowest.item<std::int64_t>() < 0 || highest.item<std::int64_t>() >= std::max<std::int64_t>(2, output.size(1)))
      throw DataError(name,
                      "there are targets from " + std::to_string(lowest.item<std::int64_t>()) + " to " +
                          std::to_string(highest.item<std::int64_t>()) + ", and the model's output has " +
                          std::to_string(std::max<std::int64_t>(2, output.size(1))) + " classes",
                      "number classes from 0, or say by ignore_index which targets do not count");
  }
  at::Tensor counts = at::zeros({3, std::max<std::int64_t>(2, output.size(1))}, weight.options());
  counts.select(0, 0).index_add_(0, actual, weight * predicted.eq(actual));
  counts.select(0, 1).index_add_(0, predicted, weight);
  counts.select(0, 2).index_add_(0, actual, weight);
  return counts;
}

/// A score of counts that are [3, ...]: gain * right / (right_weight * right + predicted_weight * predicted +
/// actual_weight * actual), NaN for 0 / 0.
struct CountScore {
  double gain, right, predicted, actual;

  [[nodiscard]] static CountScore precision() { return {1, 0, 1, 0}; }
  [[nodiscard]] static CountScore recall() { return {1, 0, 0, 1}; }
  [[nodiscard]] static CountScore f_beta(double beta) { return {1 + beta * beta, 0, 1, beta * beta}; }
  [[nodiscard]] static CountScore dice() { return f_beta(1); }
  [[nodiscard]] static CountScore iou() { return {1, -1, 1, 1}; }

  [[nodiscard]] at::Tensor operator()(const at::Tensor& counts) const {
    const at::Tensor hits = counts.select(0, 0);
    return hits * gain / (hits * right + counts.select(0, 1) * predicted + counts.select(0, 2) * actual);
  }
};

/// The score with 0 for 0 / 0: scikit-learn's zero_division=0.
inline at::Tensor score_or_zero(const CountScore& score, const at::Tensor& counts) {
  return score(counts).nan_to_num(0.0);
}

/// Per class, whether it occurs among targets or predictions.
inline at::Tensor present(const at::Tensor& counts) {
  return (counts.select(0, 1) + counts.select(0, 2)).gt(0);
}

/// The mean of `scores` over the entries that `counted` marks: NaN where there are none.
inline at::Tensor mean_where(const at::Tensor& counted, const at::Tensor& scores) {
  return at::where(counted, scores, 0.0).sum() / counted.sum(at::kDouble);
}

inline std::string beta_name(double beta) {
  std::string text = std::to_string(beta);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return "f" + text;
}

inline void check_beta(const std::string& where, double beta) {
  if (!(beta > 0)) throw ConfigError(where, "beta is " + std::to_string(beta), "take a number above 0");
}

inline void refuse_samples(const std::string& where, Average average) {
  if (average == Average::samples)
    throw ConfigError(where, "Average::samples is for multi-label targets",
                      "take macro, micro or each, or the multi_label_ metric");
}

}  // namespace thaw::detail
