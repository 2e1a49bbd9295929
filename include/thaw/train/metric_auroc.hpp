// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>

#include <cstdint>
#include <limits>
#include <string>
#include <tuple>

#include <thaw/core/error.hpp>
#include <thaw/train/detail/class_counts.hpp>
#include <thaw/train/detail/shapes.hpp>
#include <thaw/train/metric.hpp>

namespace thaw {

struct AurocOptions {
  Average average = Average::macro;  ///< macro or each
};

namespace detail {

/// One batch of scores and of what is positive: [N, 2, columns]; for three or more classes, to keep less, scores and
/// class index: [N, classes + 1].
inline at::Tensor auroc_rows(const at::Tensor& raw, const at::Tensor& target) {
  const at::Tensor output = raw.to(at::kDouble);
  if (output.dim() == 2 && target.dim() == 1 && output.size(1) > 1) {
    check_class_shapes("auroc", output.sizes(), target.sizes());
    const at::Tensor label = target.to(at::kDouble);
    if (output.size(1) > 2) return at::cat({output.log_softmax(1), label.unsqueeze(1)}, 1);
    return at::stack({output.select(1, 1) - output.select(1, 0), label}, 1).unsqueeze(2);
  }
  const bool column = output.dim() == 2 && output.size(1) == 1 && target.dim() == 1;
  const at::Tensor scores = column ? output.squeeze(1) : output;
  check_same_shape("auroc", scores.sizes(), target.sizes());
  if (scores.dim() != 1 && scores.dim() != 2)
    throw DataError("auroc", "the output is " + sizes_text(raw.sizes()), "give [samples] or [samples, classes]");
  const at::Tensor rows = at::stack({scores, target.gt(0.5).to(at::kDouble)}, 1);
  return rows.dim() == 3 ? rows : rows.unsqueeze(2);
}

/// Area under the curve of each row of `scores` [columns, N], given `positive` (0 and 1). From the sum of the
/// positives' ranks, where equal scores share the mean of theirs (Mann and Whitney's U): exact. NaN for a row without
/// positives or without negatives, or with a NaN score.
inline at::Tensor area_under_roc(const at::Tensor& scores, const at::Tensor& positive) {
  const at::Tensor sorted = std::get<0>(scores.sort(1));
  const at::Tensor below = at::searchsorted(sorted, scores, /*out_int32=*/false, /*right=*/false);
  const at::Tensor up_to = at::searchsorted(sorted, scores, /*out_int32=*/false, /*right=*/true);
  const at::Tensor rank = (below + up_to + 1).to(at::kDouble) / 2;
  const at::Tensor positives = positive.sum(1);
  const at::Tensor negatives = static_cast<double>(scores.size(1)) - positives;
  const at::Tensor u = (rank * positive).sum(1) - positives * (positives + 1) / 2;
  return (u / (positives * negatives)).masked_fill(scores.isnan().any(1), std::numeric_limits<double>::quiet_NaN());
}

}  // namespace detail

/// Area under the ROC curve: the chance that a positive sample scores above a negative one, ties counting half. Exact,
/// as scikit-learn's roc_auc_score; it keeps every output of the pass.
///
/// Binary: `output` logits or scores [N] or [N, 1], or logits [N, 2]; `target` 0 and 1. Classes: logits [N, classes]
/// and indices [N], each class against the rest by its softmax. Labels: scores [N, labels] and 0/1 of the same shape.
/// `macro` is the mean over the classes that have samples for and against (NaN where none has), `each` gives NaN for
/// others.
[[nodiscard]] inline Metric auroc(const AurocOptions& how = {}) {
  if (how.average != Average::macro && how.average != Average::each)
    throw ConfigError("auroc", "the average is neither macro nor each", "take one of them");
  return {
      .name = "auroc", .observe = detail::auroc_rows, .reduce = Reduce::cat, .value = [how](const at::Tensor& rows) {
        at::Tensor scores, positive;
        if (rows.dim() == 3) {
          scores = rows.select(1, 0), positive = rows.select(1, 1);
        } else {
          const std::int64_t classes = rows.size(1) - 1;
          scores = rows.slice(1, 0, classes);
          positive = rows.slice(1, classes).eq(at::arange(classes, rows.options())).to(at::kDouble);
        }
        at::Tensor areas = detail::area_under_roc(scores.t().contiguous(), positive.t().contiguous());
        if (areas.size(0) == 1) return areas.squeeze(0);
        if (how.average == Average::each) return areas;
        const at::Tensor possible = positive.sum(0).gt(0).logical_and(positive.lt(1).any(0));
        return detail::mean_where(possible, areas);
      },
      .better = Better::higher};
}

}  // namespace thaw
