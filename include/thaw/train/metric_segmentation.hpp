// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include <thaw/train/detail/class_counts.hpp>
#include <thaw/train/metric.hpp>

namespace thaw {

/// Overlap of predicted and actual areas, from pixels counted over the whole pass.
///
/// `output` is [N, classes, H, W], `target` holds class indices, [N, H, W] or [N, 1, H, W]; an output [N, 1, H, W] is
/// the logit of class 1 of two. A class that occurs neither among targets nor predictions has no value: NaN in `each`,
/// left out of `macro`. fastai's DiceMulti is `dice()`; its Dice and JaccardCoeff are `dice({.background = false})` and
/// `iou({.background = false})` with two classes.
struct Overlap {
  Average average = Average::macro;
  bool background = true;                         ///< false: class 0 is left out of `macro` and `micro`
  std::optional<std::int64_t> ignore_index = {};  ///< pixels that do not count, nor what is predicted there
};

namespace detail {

inline Metric overlap_metric(const std::string& name, const CountScore& score, const Overlap& how) {
  refuse_samples(name, how.average);
  return {.name = name,
          .observe = [name, ignore_index = how.ignore_index](
                         const at::Tensor& output,
                         const at::Tensor& target) { return class_counts(name, output, target, ignore_index); },
          .value =
              [score, how](const at::Tensor& all) {
                if (how.average == Average::each) return score(all);
                const at::Tensor counts = all.slice(1, how.background ? 0 : 1);
                if (how.average == Average::micro) return score(counts.sum(1));
                return mean_where(present(counts), score(counts));
              },
          .better = Better::higher};
}

}  // namespace detail

/// 2 * overlap / (predicted + actual). Source: fastai's Dice and DiceMulti.
[[nodiscard]] inline Metric dice(const Overlap& how = {}) {
  return detail::overlap_metric("dice", detail::CountScore::dice(), how);
}

/// overlap / (predicted + actual - overlap): intersection over union, or Jaccard's coefficient.
[[nodiscard]] inline Metric iou(const Overlap& how = {}) {
  return detail::overlap_metric("iou", detail::CountScore::iou(), how);
}

}  // namespace thaw
