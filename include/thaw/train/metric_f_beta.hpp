// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include <thaw/train/detail/class_counts.hpp>
#include <thaw/train/metric.hpp>

namespace thaw {

/// Precision, recall and F-beta of classes, as scikit-learn's with zero_division=0.
///
/// `output` is [N, classes, ...], `target` holds class indices, [N, ...]; an output [N, 1, ...] is the logit of class 1
/// of two. `macro` is the mean over the classes that occur among targets or predictions, as in scikit-learn: not over
/// all that the model has. `each` gives 0 for a class that does not occur.
struct ClassAverage {
  Average average = Average::macro;
  std::optional<std::int64_t> ignore_index = {};  ///< targets that do not count, nor what is predicted there
};

struct FBeta {
  double beta = 1;  ///< recall counts beta times as much as precision
  Average average = Average::macro;
  std::optional<std::int64_t> ignore_index = {};
};

namespace detail {

inline Metric class_metric(const std::string& name, const CountScore& score, const ClassAverage& how) {
  refuse_samples(name, how.average);
  return {.name = name,
          .observe = [name, ignore_index = how.ignore_index](
                         const at::Tensor& output,
                         const at::Tensor& target) { return class_counts(name, output, target, ignore_index); },
          .value =
              [score, average = how.average](const at::Tensor& counts) {
                if (average == Average::micro) return score_or_zero(score, counts.sum(1));
                const at::Tensor scores = score_or_zero(score, counts);
                return average == Average::each ? scores : mean_where(present(counts), scores);
              },
          .better = Better::higher};
}

}  // namespace detail

/// Of those predicted to be in a class, the fraction that is: right / predicted.
[[nodiscard]] inline Metric precision(const ClassAverage& how = {}) {
  return detail::class_metric("precision", detail::CountScore::precision(), how);
}

/// Of those in a class, the fraction that was found: right / actual.
[[nodiscard]] inline Metric recall(const ClassAverage& how = {}) {
  return detail::class_metric("recall", detail::CountScore::recall(), how);
}

/// (1 + beta^2) precision * recall / (beta^2 precision + recall); named "f1", "f2", "f0.5". Throws ConfigError for a
/// beta that is not positive.
[[nodiscard]] inline Metric f_beta(const FBeta& how = {}) {
  detail::check_beta("f_beta", how.beta);
  return detail::class_metric(detail::beta_name(how.beta), detail::CountScore::f_beta(how.beta),
                              {.average = how.average, .ignore_index = how.ignore_index});
}

}  // namespace thaw
