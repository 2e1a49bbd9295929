// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/ops/_fused_adamw.h>
#include <torch/optim/adamw.h>

#include <optional>
#include <tuple>

#include <thaw/core/compiled.hpp>
#include <thaw/groups/optimizer_groups.hpp>
#include <thaw/optim/detail/fused.hpp>

namespace thaw {

/// LibTorch's AdamW over layer groups, several times as fast: `thaw::AdamW optimizer{groups};`
///
/// Weight decay is decoupled, p *= 1 - lr * weight_decay, and leaves biases and norm layers alone. Defaults are
/// fastai's: betas (0.9, 0.99), eps 1e-5, weight decay 0.01. Options, state and serialisation are
/// torch::optim::AdamW's, so what one saved the other loads; LibTorch's constructors are there too. `step` runs
/// LibTorch's fused kernel over each group, or torch::optim::AdamW's own loop where something has no such kernel:
/// sparse gradients, complex numbers, half precision on the CPU, most devices but CPU and CUDA. The two differ by
/// rounding.
class AdamW : public detail::FusedAdam<torch::optim::AdamW, torch::optim::AdamWParamState, torch::optim::AdamWOptions> {
 public:
  using FusedAdam::FusedAdam;

  [[nodiscard]] static torch::optim::AdamWOptions fastai_defaults() {
    return torch::optim::AdamWOptions(1e-3).betas({0.9, 0.99}).eps(1e-5).weight_decay(0.01);
  }

  explicit AdamW(const LayerGroups& groups, const torch::optim::AdamWOptions& options = fastai_defaults());

  at::Tensor step(LossClosure closure = nullptr) override;
};

}  // namespace thaw

#if THAW_DEFINES(optim)

namespace thaw {

THAW_INLINE AdamW::AdamW(const LayerGroups& groups, const torch::optim::AdamWOptions& options)
    : FusedAdam(thaw::param_groups(groups), options) {
  detail::write_decay<torch::optim::AdamWOptions>(*this, groups, options.weight_decay());
}

THAW_INLINE at::Tensor AdamW::step(LossClosure closure) {
  at::Tensor loss = detail::loss_of(closure);
  if (!detail::can_fuse(*this)) {
    torch::optim::AdamW::step();
    return loss;
  }
  fused_step([](const detail::FusedCall& call, const torch::optim::AdamWOptions& o,
                const std::optional<at::Tensor>& overflow) {
    const auto [beta1, beta2] = o.betas();
    at::_fused_adamw_(call.parameters, call.gradients, call.first, call.second, call.largest, call.steps(), o.lr(),
                      beta1, beta2, o.weight_decay(), o.eps(), o.amsgrad(), /*maximize=*/false, /*grad_scale=*/{},
                      overflow);
  });
  return loss;
}

}  // namespace thaw

#endif
