#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_amp_foreach_non_finite_check_and_unscale.h>
#include <ATen/ops/_amp_update_scale.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <vector>

#include <thaw/train/run_state.hpp>

namespace thaw::detail {

/// Loss scaling for float16, whose smallest numbers are too large for many gradients: the loss is multiplied by a
/// scale, its gradients are divided by it. Gradients that overflow halve the scale, 2000 steps without double it.
/// Source: Micikevicius et al. 2017, arXiv:1710.03740; the numbers are torch.amp.GradScaler's.
class LossScale {
 public:
  [[nodiscard]] at::Tensor scaled(const at::Tensor& loss) {
    if (!scale_.defined()) {
      scale_ = at::full({}, 65536.0, loss.options().dtype(at::kFloat).requires_grad(false));
      growth_ = at::zeros({}, scale_.options().dtype(at::kInt));
    }
    return loss * scale_;
  }

  /// Divides gradients by the scale, and adapts it. False where one is not finite: there must be no step. Reads one
  /// number from the device.
  [[nodiscard]] bool unscale(std::vector<at::Tensor> gradients) {
    const c10::NoGradGuard no_grad;
    at::Tensor overflow = at::zeros({1}, scale_.options());
    for (at::Tensor& gradient : gradients)
      if (gradient.is_sparse()) gradient = gradient._values();
    if (!gradients.empty()) at::_amp_foreach_non_finite_check_and_unscale_(gradients, overflow, scale_.reciprocal());
    at::_amp_update_scale_(scale_, growth_, overflow, /*growth_factor=*/2, /*backoff_factor=*/0.5,
                           /*growth_interval=*/2000);
    return overflow.item<float>() == 0;
  }

  /// False once the scale is so low that another cause than float16 must be sought.
  [[nodiscard]] bool may_fall() const { return scale_.item<float>() >= 1e-4F; }

  void visit(const StateVisitor& state, at::Device device) {
    state("scale", scale_);
    state("growth", growth_);
    if (state.reading() && scale_.defined())
      scale_ = scale_.to(device, true, true), growth_ = growth_.to(device, true, true);
  }

  /// One that goes its own way from here.
  [[nodiscard]] LossScale copy() const {
    LossScale result;
    if (scale_.defined()) result.scale_ = scale_.clone(), result.growth_ = growth_.clone();
    return result;
  }

 private:
  at::Tensor scale_, growth_;  // of one number each, on the loss's device
};

}  // namespace thaw::detail
