// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/ops/_foreach_clamp_max.h>
#include <ATen/ops/_foreach_clamp_min.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>

#include <optional>
#include <string>
#include <vector>

#include <thaw/train/learner.hpp>

namespace thaw {

/// Scales all gradients together so that their 2-norm is at most max_norm: g *= min(1, max_norm / (|g| + 1e-6)). Waits
/// for no device. Returns |g| before, a scalar tensor. Source: torch.nn.utils.clip_grad_norm_, here by whole lists.
inline at::Tensor clip_gradient_norm(const LayerGroups& groups, double max_norm) {
  const c10::NoGradGuard no_grad;
  const std::vector<at::Tensor> gradients = groups.gradients();
  if (gradients.empty()) return {};
  const at::Tensor norm = at::linalg_vector_norm(at::stack(at::_foreach_norm(gradients)), 2);
  at::_foreach_mul_(gradients, (max_norm / (norm + 1e-6)).clamp_max(1));
  return norm;
}

/// Clamps every gradient to [-limit, limit].
inline void clip_gradient_value(const LayerGroups& groups, double limit) {
  const c10::NoGradGuard no_grad;
  const std::vector<at::Tensor> gradients = groups.gradients();
  if (gradients.empty()) return;
  at::_foreach_clamp_min_(gradients, -limit);
  at::_foreach_clamp_max_(gradients, limit);
}

/// Clips the gradients before each optimizer step, by their common norm or one by one. With several batches per step,
/// their mean gradient is clipped.
///
///     learner.fit(stage, thaw::GradientClip{.norm = 1.0});
struct GradientClip {
  std::optional<double> norm = {};
  std::optional<double> value = {};

  void on_stage_planned(const StagePlanned&) const {
    if (norm.has_value() == value.has_value() || !(norm.value_or(1) > 0) || !(value.value_or(1) > 0))
      throw ConfigError("GradientClip", "norm is " + text(norm) + ", value " + text(value),
                        "give one of the two, a positive number");
  }
  void on_gradients_ready(const GradientsReady& event) const {
    if (norm) (void)clip_gradient_norm(event.learner.groups(), *norm);
    if (value) clip_gradient_value(event.learner.groups(), *value);
  }

 private:
  static std::string text(const std::optional<double>& x) { return x ? detail::number(*x) : "not given"; }
};

}  // namespace thaw
