// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <cstdint>
#include <string>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/train/detail/shapes.hpp>

namespace thaw {

struct LabelThresholds {
  double beta = 1;        ///< recall counts beta times as much as precision
  bool per_label = true;  ///< one for each label; false: the same for all, by the counts of all labels together
};

/// From which probability on a label is best predicted: the thresholds with the highest F-beta, double [labels].
/// `probabilities` and `targets` (0 and 1) are [N, labels], of validation data. A threshold lies in the middle between
/// two probabilities that occur (below the lowest, above the highest: between it and 0 or 1); among several, the
/// highest. A label that is never true keeps 0.5. Throws DataError for shapes that differ or are not [N, labels],
/// ConfigError for a beta that is not positive. Example: `auto predicted = learner.predict(x).sigmoid() >
/// label_thresholds(learner.predict(valid).sigmoid(), truth);`
[[nodiscard]] inline at::Tensor label_thresholds(const at::Tensor& probabilities, const at::Tensor& targets,
                                                 const LabelThresholds& how = {}) {
  detail::check_same_shape("label_thresholds", probabilities.sizes(), targets.sizes());
  if (probabilities.dim() != 2)
    throw DataError("label_thresholds", "probabilities are " + detail::sizes_text(probabilities.sizes()),
                    "give [samples, labels]");
  if (!(how.beta > 0))
    throw ConfigError("label_thresholds", "beta is " + detail::number(how.beta), "give a number above 0");
  at::Tensor p = probabilities.detach().to(at::kCPU, at::kDouble),
             y = targets.detach().gt(0.5).to(at::kCPU, at::kDouble);
  const std::int64_t labels = p.size(1);
  if (!how.per_label) p = p.reshape({-1, 1}), y = y.reshape({-1, 1});
  const auto [sorted, order] = p.sort(/*dim=*/0, /*descending=*/true);
  // what is predicted by the first k: hits, and how many of all there are
  const at::Tensor hits = y.gather(0, order).cumsum(0), all = y.sum(0);
  at::Tensor result = at::empty({p.size(1)}, at::kDouble);
  const double beta2 = how.beta * how.beta;
  for (std::int64_t label = 0; label < p.size(1); ++label) {
    double best = -1, threshold = 0.5;
    const auto actual = all[label].item<double>();
    for (std::int64_t k = 1; actual > 0 && k <= p.size(0); ++k) {
      const double here = sorted[k - 1][label].item<double>(),
                   next = k < p.size(0) ? sorted[k][label].item<double>() : 0;
      if (k < p.size(0) && here == next) continue;  // no threshold parts the two
      const double score = (1 + beta2) * hits[k - 1][label].item<double>() / (beta2 * actual + static_cast<double>(k));
      if (score > best) best = score, threshold = (here + next) / 2;
    }
    result[label] = threshold;
  }
  return how.per_label ? result : result.expand({labels}).clone();
}

}  // namespace thaw
