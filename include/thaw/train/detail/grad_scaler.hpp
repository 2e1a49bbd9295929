// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_amp_foreach_non_finite_check_and_unscale.h>
#include <ATen/ops/_amp_update_scale.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <torch/optim/optimizer.h>

#include <cstdint>
#include <utility>
#include <vector>

#include <thaw/optim/revocable_step.hpp>
#include <thaw/train/detail/async_scalar.hpp>
#include <thaw/train/run_state.hpp>

namespace thaw::detail {

/// Loss scaling for float16, whose smallest numbers are too large for many gradients: the loss is multiplied by a
/// scale, its gradients are divided by it. Gradients that overflow halve the scale, 2000 steps without double it.
/// Source: Micikevicius et al. 2017, arXiv:1710.03740; the numbers are torch.amp.GradScaler's.
///
/// Whether gradients overflowed is known on the device, and thaw's optimizers ask there (RevocableStep). The host reads
/// it in the next step, with work queued behind it, so that neither waits for the other.
class GradScaler {
 public:
  [[nodiscard]] at::Tensor scaled(const at::Tensor& loss) {
    if (!scale_.defined()) {
      scale_ = at::full({}, 65536.0, loss.options().dtype(at::kFloat).requires_grad(false));
      growth_ = at::zeros({}, scale_.options().dtype(at::kInt));
    }
    return loss * scale_;
  }

  /// Divides gradients by the scale, and adapts it. True where they overflowed, so that there must be no step. An
  /// optimizer that can leave that to the device is told to, unless the host is to know now: `waits`.
  [[nodiscard]] bool unscale(std::vector<at::Tensor> gradients, torch::optim::Optimizer& optimizer, bool waits) {
    settle();
    const c10::NoGradGuard no_grad;
    at::Tensor overflow = at::zeros({1}, scale_.options());
    for (at::Tensor& gradient : gradients)
      if (gradient.is_sparse()) gradient = gradient._values();
    if (!gradients.empty()) at::_amp_foreach_non_finite_check_and_unscale_(gradients, overflow, scale_.reciprocal());
    at::_amp_update_scale_(scale_, growth_, overflow, /*growth_factor=*/2, /*backoff_factor=*/0.5,
                           /*growth_interval=*/2000);
    auto* revocable = waits ? nullptr : dynamic_cast<RevocableStep*>(&optimizer);
    const bool device_decides = revocable != nullptr && revocable->revocable(scale_.device());
    bool overflowed = false;
    if (device_decides) {
      revocable->unless(overflow);
      overflow_.send(overflow);
      undecided_ = revocable;
    } else {
      overflowed = overflow.item<float>() != 0;
      if (overflowed) found();
    }
    skipped_ += std::exchange(found_, 0);
    return overflowed;
  }

  /// Finds out what became of the last step, where the device decided.
  void settle() {
    if (undecided_ == nullptr) return;
    const bool overflowed = overflow_.read() != 0;
    std::exchange(undecided_, nullptr)->settle(!overflowed);
    if (overflowed) found();
  }

  /// How many steps were left out since it was asked last. One that the device decided counts a step later, whether or
  /// not somebody settled it before, so that looking at a run does not change it.
  [[nodiscard]] std::int64_t skipped() { return std::exchange(skipped_, 0); }
  /// A stage begins, in which none was left out.
  void forget_skipped() {
    settle();
    found_ = skipped_ = 0;
  }

  /// False once the scale is so low that another cause than float16 must be sought.
  [[nodiscard]] bool may_fall() const { return may_fall_; }

  void visit(const StateVisitor& state, at::Device device) {
    settle();
    state("scale", scale_);
    state("growth", growth_);
    if (!scale_.defined()) return;
    if (!state.reading() || state.has("found")) state("found", found_), state("left out", skipped_);
    if (state.reading()) scale_ = scale_.to(device, true, true), growth_ = growth_.to(device, true, true);
  }

  /// One that goes its own way from here.
  [[nodiscard]] GradScaler copy() {
    settle();
    GradScaler result;
    if (scale_.defined()) result.scale_ = scale_.clone(), result.growth_ = growth_.clone();
    return result;
  }

 private:
  void found() {
    ++found_;
    may_fall_ = scale_.item<float>() >= 1e-4F;
  }

  at::Tensor scale_, growth_;  // of one number each, on the loss's device
  AsyncScalar overflow_;
  RevocableStep* undecided_ = nullptr;  // the optimizer whose last step it decides
  std::int64_t found_ = 0, skipped_ = 0;
  bool may_fall_ = true;
};

}  // namespace thaw::detail
