// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>

#include <string>
#include <utility>

#include <thaw/core/error.hpp>
#include <thaw/train/detail/class_counts.hpp>
#include <thaw/train/detail/shapes.hpp>
#include <thaw/train/metric.hpp>

namespace thaw {

/// Metrics of several labels per sample. `output` is [N, labels, ...], `target` of the same shape holds 0 and 1.
///
/// A label is predicted where sigmoid(output), or output, is above the threshold.
struct MultiLabel {
  double threshold = 0.5;
  bool sigmoid = true;               ///< outputs are logits; false: they are probabilities
  Average average = Average::macro;  ///< not for multi_label_accuracy
};

struct MultiLabelFBeta {
  double beta = 1;  ///< recall counts beta times as much as precision
  double threshold = 0.5;
  bool sigmoid = true;
  Average average = Average::macro;
};

namespace detail {

inline at::Tensor labels_predicted(const std::string& name, const at::Tensor& output, const at::Tensor& target,
                                   const MultiLabel& how) {
  check_same_shape(name, output.sizes(), target.sizes());
  const at::Tensor values = output.to(at::kDouble);
  return (how.sigmoid ? values.sigmoid() : values).gt(how.threshold);
}

/// Counts along dimension `keep`: double [3, size(keep)].
inline at::Tensor label_counts(const at::Tensor& predicted, const at::Tensor& actual, std::int64_t keep) {
  const auto count = [keep](const at::Tensor& x) { return x.movedim(keep, 0).flatten(1).sum(1, false, at::kDouble); };
  return at::stack({count(predicted.logical_and(actual)), count(predicted), count(actual)});
}

inline Metric label_metric(const std::string& name, const CountScore& score, const MultiLabel& how) {
  if (how.average == Average::samples)
    return {.name = name,
            .observe =
                [name, score, how](const at::Tensor& output, const at::Tensor& target) {
                  const at::Tensor scores = score_or_zero(
                      score, label_counts(labels_predicted(name, output, target, how), target.gt(0.5), /*keep=*/0));
                  return at::stack({scores.sum(), at::full({}, static_cast<double>(scores.size(0)), scores.options())});
                },
            .value = ratio,
            .better = Better::higher};
  return {.name = name,
          .observe =
              [name, how](const at::Tensor& output, const at::Tensor& target) {
                const at::Tensor predicted = labels_predicted(name, output, target, how);
                if (output.dim() < 2)
                  throw DataError(name, "the output is " + sizes_text(output.sizes()),
                                  "let the model return [samples, labels]");
                return label_counts(predicted, target.gt(0.5), /*keep=*/1);
              },
          .value =
              [score, average = how.average](const at::Tensor& counts) {
                if (average == Average::micro) return score_or_zero(score, counts.sum(1));
                const at::Tensor scores = score_or_zero(score, counts);
                return average == Average::each ? scores : scores.mean();
              },
          .better = Better::higher};
}

}  // namespace detail

/// Fraction of all entries, samples times labels, that are predicted right. Source: fastai's accuracy_multi.
[[nodiscard]] inline Metric multi_label_accuracy(const MultiLabel& how = {}) {
  return {.name = "accuracy",
          .observe =
              [how](const at::Tensor& output, const at::Tensor& target) {
                const at::Tensor predicted = detail::labels_predicted("multi_label_accuracy", output, target, how);
                return detail::right_of(predicted.eq(target.gt(0.5)), target, {});
              },
          .value = detail::ratio,
          .better = Better::higher};
}

/// Precision, recall and F-beta of labels, as scikit-learn's with zero_division=0: `macro` is the mean over all labels,
/// 0 for one that does not occur; `samples` the mean over samples, each over its labels.
[[nodiscard]] inline Metric multi_label_precision(const MultiLabel& how = {}) {
  return detail::label_metric("precision", detail::CountScore::precision(), how);
}

[[nodiscard]] inline Metric multi_label_recall(const MultiLabel& how = {}) {
  return detail::label_metric("recall", detail::CountScore::recall(), how);
}

/// Named "f1", "f2", "f0.5". Throws ConfigError for a beta that is not positive.
[[nodiscard]] inline Metric multi_label_f_beta(const MultiLabelFBeta& how = {}) {
  detail::check_beta("multi_label_f_beta", how.beta);
  return detail::label_metric(detail::beta_name(how.beta), detail::CountScore::f_beta(how.beta),
                              {.threshold = how.threshold, .sigmoid = how.sigmoid, .average = how.average});
}

}  // namespace thaw
