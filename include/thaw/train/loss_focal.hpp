// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Reduction.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/sigmoid.h>

#include <cstdint>
#include <limits>
#include <string>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/train/detail/shapes.hpp>
#include <thaw/train/loss.hpp>

namespace thaw {

/// Cross-entropy in which samples that are classified well count less, for classes that are rare:
///
///     loss = mean of w_t (1 - p_t)^gamma (-log p_t),   p_t = softmax(output)[target]
///
/// Shapes as CrossEntropy's, with class indices for targets. gamma = 0 without weights is CrossEntropy. The mean is
/// over samples, not over weights. Source: Lin et al. 2017, arXiv:1708.02002.
struct FocalLoss {
  double gamma = 2;
  at::Tensor weight = {};  ///< w, [classes]; without, 1: class_weights(labels), say

  [[nodiscard]] at::Tensor operator()(const at::Tensor& output, const at::Tensor& target) const;
  /// See CrossEntropy::to.
  [[nodiscard]] FocalLoss to(const at::Device& device) const {
    return {gamma, weight.defined() ? weight.to(device) : weight};
  }
  /// As CrossEntropy's, and ConfigError for a negative gamma.
  void check(const at::Tensor& output, const at::Tensor& targets) const;
};

/// The same for one logit per label:
///
///     loss = mean of alpha_t (1 - p_t)^gamma (-log p_t),   p_t = p for a positive, 1 - p for a negative, p =
///     sigmoid(x)
///
/// alpha_t is alpha for a positive and 1 - alpha for a negative; a negative alpha leaves it out. As torchvision's
/// sigmoid_focal_loss with reduction "mean".
struct BinaryFocalLoss {
  double alpha = 0.25;
  double gamma = 2;

  /// Throws DataError when the shapes differ.
  [[nodiscard]] at::Tensor operator()(const at::Tensor& output, const at::Tensor& target) const;
  /// As BinaryCrossEntropy's, and ConfigError for a negative gamma or an alpha above 1.
  void check(const at::Tensor& output, const at::Tensor& targets) const;
};

}  // namespace thaw

#if THAW_DEFINES(train)

namespace thaw {

THAW_INLINE at::Tensor FocalLoss::operator()(const at::Tensor& output, const at::Tensor& target) const {
  const at::Tensor labels = target.to(at::kLong);
  const at::Tensor loss = at::cross_entropy_loss(output, labels, {}, at::Reduction::None, /*ignore_index=*/-100, 0.0);
  // Off 0, where a power below 1 has no slope.
  at::Tensor focused = (1 - (-loss).exp()).clamp_min(1e-7).pow(gamma) * loss;
  if (weight.defined()) {
    const at::Tensor of_class = weight.to(output.device(), output.scalar_type());
    focused = focused * of_class.index_select(0, labels.flatten()).view(labels.sizes());
  }
  return focused.mean();
}

THAW_INLINE void FocalLoss::check(const at::Tensor& output, const at::Tensor& targets) const {
  if (!(gamma >= 0)) throw ConfigError("FocalLoss", "gamma is " + detail::number(gamma), "give 0 or more: 2");
  if (targets.is_floating_point())
    throw DataError("FocalLoss", "targets are floating-point", "give class indices: target.to(torch::kLong)");
  CrossEntropy{.weight = weight, .ignore_index = std::numeric_limits<std::int64_t>::min()}.check(output, targets);
}

THAW_INLINE at::Tensor BinaryFocalLoss::operator()(const at::Tensor& output, const at::Tensor& target) const {
  detail::check_same_shape("BinaryFocalLoss", output.sizes(), target.sizes());
  const at::Tensor y = target.to(output.scalar_type()), p = at::sigmoid(output);
  const at::Tensor wrong = p * (1 - y) + (1 - p) * y;  // 1 - p_t
  at::Tensor loss =
      at::binary_cross_entropy_with_logits(output, y, {}, {}, at::Reduction::None) * wrong.clamp_min(1e-7).pow(gamma);
  if (alpha >= 0) loss = loss * (alpha * y + (1 - alpha) * (1 - y));
  return loss.mean();
}

THAW_INLINE void BinaryFocalLoss::check(const at::Tensor& output, const at::Tensor& targets) const {
  if (!(gamma >= 0 && alpha <= 1))
    throw ConfigError("BinaryFocalLoss", "gamma is " + detail::number(gamma) + ", alpha " + detail::number(alpha),
                      "give a gamma of 0 or more, and an alpha of at most 1");
  bce_with_logits.check(output, targets);
}

}  // namespace thaw

#endif
