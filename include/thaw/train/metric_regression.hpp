// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>

#include <string>
#include <utility>

#include <thaw/train/detail/shapes.hpp>
#include <thaw/train/metric.hpp>

namespace thaw {

namespace detail {

/// output - target in double, of one shape.
inline at::Tensor residual(const std::string& name, const at::Tensor& output, const at::Tensor& target) {
  check_same_shape(name, output.sizes(), target.sizes());
  return output.to(at::kDouble) - target.to(at::kDouble);
}

inline at::Tensor sum_and_count(const at::Tensor& x) {
  return at::stack({x.sum(), at::full({}, static_cast<double>(x.numel()), x.options())});
}

}  // namespace detail

/// Mean over all entries of |output - target|; both have one shape.
[[nodiscard]] inline Metric mae() {
  return {.name = "mae",
          .observe =
              [](const at::Tensor& output, const at::Tensor& target) {
                return detail::sum_and_count(detail::residual("mae", output, target).abs());
              },
          .value = detail::ratio,
          .better = Better::lower};
}

/// Square root of the mean over all entries of (output - target)^2; both have one shape.
[[nodiscard]] inline Metric rmse() {
  return {.name = "rmse",
          .observe =
              [](const at::Tensor& output, const at::Tensor& target) {
                return detail::sum_and_count(detail::residual("rmse", output, target).square());
              },
          .value = [](const at::Tensor& total) { return detail::ratio(total).sqrt(); },
          .better = Better::lower};
}

/// 1 - sum (output - target)^2 / sum (target - mean target)^2, the mean over output columns, as scikit-learn's
/// r2_score; fastai's R2Score flattens first. `output` and `target` are [N] or [N, ...], of one shape.
///
/// A batch is kept as count, mean, squared deviation and squared error, and merged by Chan's formula: no digits are
/// lost where the mean is far from 0. A constant target gives 1 where it is met, else 0, as in scikit-learn.
[[nodiscard]] inline Metric r2() {
  return {.name = "r2",
          .observe =
              [](const at::Tensor& output, const at::Tensor& target) {
                const at::Tensor error = detail::residual("r2", output, target);
                const auto columns = [](const at::Tensor& x) { return x.reshape({x.size(0), -1}); };
                const at::Tensor y = columns(target.to(at::kDouble));
                const at::Tensor mean = y.mean(0);
                return at::stack({at::full_like(mean, static_cast<double>(y.size(0))), mean, (y - mean).square().sum(0),
                                  columns(error).square().sum(0)})
                    .unsqueeze(0);
              },
          .reduce = Reduce::cat,
          .value = [](const at::Tensor& batches) {  // [batches, 4, columns]
            const at::Tensor n = batches.select(1, 0), mean = batches.select(1, 1);
            const at::Tensor near = mean.select(0, 0);  // deviations from it are small
            const at::Tensor all = near + (n * (mean - near)).sum(0) / n.sum(0);
            const at::Tensor spread = batches.select(1, 2).sum(0) + (n * (mean - all).square()).sum(0);
            const at::Tensor error = batches.select(1, 3).sum(0);
            const at::Tensor constant = error.eq(0).to(at::kDouble);
            return at::where(spread.eq(0), constant, 1 - error / spread).mean();
          },
          .better = Better::higher};
}

}  // namespace thaw
