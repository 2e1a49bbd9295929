// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/one_hot.h>
#include <ATen/ops/softmax.h>

#include <cstdint>
#include <string>

#include <thaw/core/error.hpp>
#include <thaw/train/loss.hpp>

namespace thaw {

/// For segmentation: cross-entropy of each pixel plus `weight` times soft Dice, which counts a small thing as much as a
/// large one. `output` is [N, classes, H, W] logits, `target` [N, H, W] classes. With p = softmax(output), y the
/// targets as 0 and 1, and sums over the pixels of an image that are not ignored,
///
///     Dice = 1 - mean over images and classes of (2 sum(p y) + smooth) / (sum(p) + sum(y) + smooth)
///
/// Source: fastai's DiceLoss (Milletari et al. 2016) with reduction="mean", and `smooth` 1 where it has 1e-6: of a
/// class that an image does not show, any trace would count as all wrong.
struct DiceCrossEntropy {
  double weight = 1;
  double smooth = 1;
  CrossEntropy cross_entropy = {.ignore_index = 255};

  [[nodiscard]] at::Tensor operator()(const at::Tensor& output, const at::Tensor& target) const {
    return cross_entropy(output, target) + weight * dice(output, target);
  }

  /// See CrossEntropy::counted.
  [[nodiscard]] at::Tensor counted(const at::Tensor& output, const at::Tensor& target) const {
    return cross_entropy.counted(output, target).sign();
  }

  /// The second part alone.
  [[nodiscard]] at::Tensor dice(const at::Tensor& output, const at::Tensor& target) const {
    const at::Tensor counted = target.ne(cross_entropy.ignore_index);
    const at::Tensor known = counted.unsqueeze(1).to(output.scalar_type());
    const at::Tensor y = at::one_hot(target.to(at::kLong) * counted, output.size(1)).movedim(-1, 1) * known;
    const at::Tensor p = output.softmax(1) * known;
    const auto sum = [](const at::Tensor& x) { return x.flatten(2).sum(2); };
    return 1 - ((2 * sum(p * y) + smooth) / (sum(p) + sum(y) + smooth)).mean();
  }

  /// See CrossEntropy::to.
  [[nodiscard]] DiceCrossEntropy to(const at::Device& device) const {
    return {weight, smooth, cross_entropy.to(device)};
  }

  /// Throws as CrossEntropy does, and ConfigError for a `smooth` or `weight` that is not positive.
  void check(const at::Tensor& output, const at::Tensor& targets) const {
    if (!(smooth > 0 && weight > 0))
      throw ConfigError("DiceCrossEntropy",
                        "smooth is " + detail::number(smooth) + ", weight " + detail::number(weight),
                        "give numbers above 0; without Dice, take CrossEntropy");
    if (targets.is_floating_point())
      throw DataError("DiceCrossEntropy", "targets are floating-point", "give class indices: target.to(torch::kLong)");
    cross_entropy.check(output, targets);
  }
};

}  // namespace thaw
