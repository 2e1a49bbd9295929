// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/ops/_fused_adam.h>
#include <torch/optim/adam.h>

#include <optional>
#include <tuple>

#include <thaw/core/compiled.hpp>
#include <thaw/groups/optimizer_groups.hpp>
#include <thaw/optim/detail/fused.hpp>

namespace thaw {

/// LibTorch's Adam over layer groups, several times as fast: `thaw::Adam optimizer{groups};`
///
/// Its weight decay joins the gradient (L2), as LibTorch's does, and is 0 by default; biases and norm layers are
/// exempt. AdamW decays apart from the gradient. Options, state, serialisation and fused kernels as for thaw::AdamW.
class Adam : public detail::FusedAdam<torch::optim::Adam, torch::optim::AdamParamState, torch::optim::AdamOptions> {
 public:
  using FusedAdam::FusedAdam;

  explicit Adam(const LayerGroups& groups, const torch::optim::AdamOptions& options = {});

  at::Tensor step(LossClosure closure = nullptr) override;
};

}  // namespace thaw

#if THAW_DEFINES(optim)

namespace thaw {

THAW_INLINE Adam::Adam(const LayerGroups& groups, const torch::optim::AdamOptions& options)
    : FusedAdam(thaw::param_groups(groups), options) {
  detail::write_decay<torch::optim::AdamOptions>(*this, groups, options.weight_decay());
}

THAW_INLINE at::Tensor Adam::step(LossClosure closure) {
  at::Tensor loss = detail::loss_of(closure);
  if (!detail::can_fuse(*this)) {
    torch::optim::Adam::step();
    return loss;
  }
  fused_step(
      [](const detail::FusedCall& call, const torch::optim::AdamOptions& o, const std::optional<at::Tensor>& overflow) {
        const auto [beta1, beta2] = o.betas();
        at::_fused_adam_(call.parameters, call.gradients, call.first, call.second, call.largest, call.steps(), o.lr(),
                         beta1, beta2, o.weight_decay(), o.eps(), o.amsgrad(), /*maximize=*/false, /*grad_scale=*/{},
                         overflow);
      });
  return loss;
}

}  // namespace thaw

#endif
