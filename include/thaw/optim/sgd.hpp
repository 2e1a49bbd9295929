// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_fused_sgd.h>
#include <c10/util/ScopeExit.h>
#include <torch/optim/sgd.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/groups/optimizer_groups.hpp>
#include <thaw/optim/detail/fused.hpp>

namespace thaw {

/// What weight decay does.
enum class Decay {
  decoupled,  ///< p *= 1 - lr * weight_decay before the step, apart from gradient and momentum (fastai)
  l2,         ///< gradient += weight_decay * p (LibTorch)
};

/// LibTorch's SGD over layer groups, with decoupled decay: `thaw::SGD optimizer{groups, {0.1}};`
///
/// Weight decay leaves biases and norm layers alone, and is decoupled; with LibTorch's own constructors it is L2, as
/// LibTorch's. Momentum, dampening, Nesterov, options, state and serialisation are torch::optim::SGD's. `step` runs
/// LibTorch's fused kernel over each group, or torch::optim::SGD's own loop where something has no such kernel: sparse
/// gradients, complex numbers, half precision on the CPU, most devices but CPU and CUDA. The two differ by rounding;
/// on a CPU they are about as fast.
class SGD : public torch::optim::SGD, public RevocableStep {
 public:
  using torch::optim::SGD::SGD;

  explicit SGD(const LayerGroups& groups, const torch::optim::SGDOptions& options = {1e-3},
               Decay decay = Decay::decoupled);

  at::Tensor step(LossClosure closure = nullptr) override;

  [[nodiscard]] bool revocable(const at::Device& device) override {
    return detail::can_fuse(*this) && detail::all_on(*this, device);
  }

 private:
  [[nodiscard]] torch::optim::SGDOptions& options(std::size_t group) {
    return static_cast<torch::optim::SGDOptions&>(param_groups()[group].options());
  }

  /// Decays what has a gradient, and returns every group's weight decay, which is 0 for the step that follows.
  [[nodiscard]] std::vector<double> decay_now(const std::optional<at::Tensor>& overflow);

  void fused_step(const std::optional<at::Tensor>& overflow);

  void settled(void* parameter, bool done) override {
    if (!done) state().erase(parameter);  // the next step is still the first
  }

  Decay decay_ = Decay::l2;
};

}  // namespace thaw

#if THAW_DEFINES(optim)

namespace thaw {

THAW_INLINE SGD::SGD(const LayerGroups& groups, const torch::optim::SGDOptions& options, Decay decay)
    : torch::optim::SGD(thaw::param_groups(groups), options), decay_(decay) {
  detail::write_decay<torch::optim::SGDOptions>(*this, groups, options.weight_decay());
}

THAW_INLINE at::Tensor SGD::step(LossClosure closure) {
  at::Tensor loss = detail::loss_of(closure);
  const std::optional<at::Tensor> overflow = std::exchange(overflow_, {});
  const std::vector<double> decays = decay_ == Decay::decoupled ? decay_now(overflow) : std::vector<double>();
  const auto put_back = c10::make_scope_exit([&] {
    for (std::size_t i = 0; i < decays.size(); ++i) options(i).weight_decay(decays[i]);
  });
  if (detail::can_fuse(*this))
    fused_step(overflow);
  else
    torch::optim::SGD::step();
  return loss;
}

THAW_INLINE std::vector<double> SGD::decay_now(const std::optional<at::Tensor>& overflow) {
  const c10::NoGradGuard no_grad;
  std::vector<double> decays;
  for (std::size_t i = 0; i < param_groups().size(); ++i) {
    decays.push_back(options(i).weight_decay());
    options(i).weight_decay(0);
    std::vector<at::Tensor> moving;
    for (const at::Tensor& parameter : param_groups()[i].params())
      if (parameter.grad().defined()) moving.push_back(parameter);
    if (decays[i] == 0 || moving.empty()) continue;
    const double decay = options(i).lr() * decays[i];
    if (overflow)
      at::_foreach_mul_(moving, (1 - decay * (*overflow == 0).to(at::kDouble)).to(moving[0].scalar_type()).squeeze());
    else
      at::_foreach_mul_(moving, 1 - decay);
  }
  return decays;
}

THAW_INLINE void SGD::fused_step(const std::optional<at::Tensor>& overflow) {
  const c10::NoGradGuard no_grad;
  for (std::size_t i = 0; i < param_groups().size(); ++i) {
    const torch::optim::SGDOptions& o = options(i);
    std::vector<detail::FusedCall> calls;  // step 0: the first, in which the momentum is the gradient
    for (const at::Tensor& parameter : param_groups()[i].params()) {
      if (!parameter.grad().defined()) continue;
      if (o.momentum() == 0) {
        detail::FusedCall::of(calls, parameter, 1);
        continue;
      }
      auto& slot = state()[parameter.unsafeGetTensorImpl()];
      const bool first = !slot;
      if (first) {
        slot = std::make_unique<torch::optim::SGDParamState>();
        if (overflow) unsettled_.push_back(parameter.unsafeGetTensorImpl());
      }
      auto& buffer = static_cast<torch::optim::SGDParamState&>(*slot);
      buffer.momentum_buffer(detail::state_like(parameter, buffer.momentum_buffer()));
      detail::FusedCall::of(calls, parameter, first ? 0 : 1).first.push_back(buffer.momentum_buffer());
    }
    for (const detail::FusedCall& call : calls) {
      at::_fused_sgd_(call.parameters, call.gradients, call.first, o.weight_decay(), o.momentum(), o.lr(),
                      o.dampening(), o.nesterov(), /*maximize=*/false, /*is_first_step=*/call.step == 0,
                      /*grad_scale=*/{}, overflow);
      call.tell_autograd();
    }
  }
}

}  // namespace thaw

#endif
