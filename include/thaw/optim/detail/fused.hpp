// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <c10/util/StringUtil.h>
#include <torch/optim/optimizer.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/groups/optimizer_groups.hpp>
#include <thaw/optim/revocable_step.hpp>

namespace thaw::detail {

/// Writes weight decay on the live groups of an optimizer that was made from `param_groups(groups)`: what is exempt has
/// none. LibTorch's constructors take a decay of 0 for unset.
template <class Options>
void write_decay(torch::optim::Optimizer& optimizer, const LayerGroups& groups, double weight_decay) {
  std::size_t i = 0;
  for (const LayerGroup& group : groups)
    for (const bool decays : {true, false})
      if (std::ranges::any_of(group.parameters, [&](const auto& p) { return p.decays == decays; }))
        static_cast<Options&>(optimizer.param_groups()[i++].options()).weight_decay(decays ? weight_decay : 0);
}

/// LibTorch's optimizers compute the closure's loss with gradients, the rest without.
at::Tensor loss_of(const torch::optim::Optimizer::LossClosure& closure);

/// Whether the kernels were brought for a device that is not LibTorch's own, or a way to do without.
bool private_device_fuses();

/// Whether LibTorch has fused kernels for all that has a gradient. They walk over memory, so it must be dense.
bool can_fuse(torch::optim::Optimizer& optimizer);

/// A tensor as a kernel may walk over it next to another: of its type, device and memory layout. Throws ConfigError for
/// another shape, as of a state that was loaded from another network.
at::Tensor laid_out_like(const at::Tensor& like, const at::Tensor& tensor);

/// The same for a state, which is zeros at first.
at::Tensor state_like(const at::Tensor& parameter, const at::Tensor& state);

/// What one call of a kernel takes: the same device, dtype and number of steps.
struct FusedCall {
  std::int64_t step = 0;
  std::vector<at::Tensor> parameters = {}, gradients = {}, first = {}, second = {}, largest = {};

  /// The call that takes this parameter; makes one where there is none yet.
  static FusedCall& of(std::vector<FusedCall>& calls, const at::Tensor& parameter, std::int64_t step);

  /// Tells autograd that the parameters changed, which the kernels do not.
  void tell_autograd() const;

  /// The kernels want a tensor of the step per parameter; one serves all.
  [[nodiscard]] std::vector<at::Tensor> steps() const;
};

bool all_on(torch::optim::Optimizer& optimizer, const at::Device& device);

/// LibTorch's Adam or AdamW whose steps are a kernel's: `kernel(call, options, overflow)`.
template <class Base, class State, class Options>
class FusedAdam : public Base, public RevocableStep {
 public:
  using Base::Base;

  [[nodiscard]] bool revocable(const at::Device& device) override { return can_fuse(*this) && all_on(*this, device); }

 protected:
  template <class Kernel>
  void fused_step(const Kernel& kernel) {
    const c10::NoGradGuard no_grad;
    const std::optional<at::Tensor> overflow = std::exchange(overflow_, {});
    for (auto& group : this->param_groups()) {
      const auto& options = static_cast<const Options&>(group.options());
      std::vector<FusedCall> calls;
      for (const at::Tensor& parameter : group.params()) {
        if (!parameter.grad().defined()) continue;
        void* const key = parameter.unsafeGetTensorImpl();
        auto& slot = this->state()[key];
        if (!slot) slot = std::make_unique<State>();
        auto& state = static_cast<State&>(*slot);
        state.exp_avg(state_like(parameter, state.exp_avg()));
        state.exp_avg_sq(state_like(parameter, state.exp_avg_sq()));
        const std::int64_t step = state.step() + 1;
        if (overflow)
          unsettled_.push_back(key);
        else
          state.step(step);
        FusedCall& call = FusedCall::of(calls, parameter, step);
        call.first.push_back(state.exp_avg());
        call.second.push_back(state.exp_avg_sq());
        if (!options.amsgrad()) continue;
        state.max_exp_avg_sq(state_like(parameter, state.max_exp_avg_sq()));
        call.largest.push_back(state.max_exp_avg_sq());
      }
      for (const FusedCall& call : calls) {
        kernel(call, options, overflow);
        call.tell_autograd();
      }
    }
  }

  void settled(void* parameter, bool done) override {
    const auto found = this->state().find(parameter);
    if (!done || found == this->state().end()) return;  // forgotten meanwhile
    auto& state = static_cast<State&>(*found->second);
    state.step(state.step() + 1);
  }
};

}  // namespace thaw::detail

#if THAW_DEFINES(optim)

namespace thaw::detail {

THAW_INLINE at::Tensor loss_of(const torch::optim::Optimizer::LossClosure& closure) {
  if (!closure) return {};
  const c10::AutoGradMode enable_grad(true);
  return closure();
}

THAW_INLINE bool private_device_fuses() {
  c10::Dispatcher& dispatcher = c10::Dispatcher::singleton();
  constexpr c10::DispatchKey key = c10::DispatchKey::PrivateUse1;
  return dispatcher.hasBackendFallbackForDispatchKey(key) ||
         std::ranges::all_of(std::array{"aten::_fused_adam_", "aten::_fused_adamw_", "aten::_fused_sgd_"},
                             [&](const char* name) {
                               const auto kernel = dispatcher.findSchema({name, ""});
                               return kernel && kernel->hasKernelForDispatchKey(key);
                             });
}

THAW_INLINE bool can_fuse(torch::optim::Optimizer& optimizer) {
  const auto fits = [](const at::Tensor& parameter) {
    const at::Tensor& gradient = parameter.grad();
    const at::ScalarType type = parameter.scalar_type();
    return !gradient.defined() ||
           ((parameter.is_cuda() ? at::isFloatingType(type)
                                 : (parameter.is_cpu() || (parameter.is_privateuseone() && private_device_fuses())) &&
                                       (type == at::kFloat || type == at::kDouble)) &&
            parameter.layout() == at::kStrided && gradient.layout() == at::kStrided &&
            parameter.is_non_overlapping_and_dense() && gradient.scalar_type() == parameter.scalar_type() &&
            gradient.device() == parameter.device());
  };
  return std::ranges::all_of(optimizer.param_groups(),
                             [&](const auto& group) { return std::ranges::all_of(group.params(), fits); });
}

THAW_INLINE at::Tensor laid_out_like(const at::Tensor& like, const at::Tensor& tensor) {
  if (tensor.sizes() != like.sizes())
    throw ConfigError(
        "optimizer",
        "its state has shape " + c10::str(tensor.sizes()) + " for a parameter of shape " + c10::str(like.sizes()),
        "load the state of the same network, or call forget_state");
  bool same = tensor.scalar_type() == like.scalar_type() && tensor.device() == like.device();
  for (std::int64_t i = 0; i < like.dim(); ++i)
    same = same && (like.size(i) == 1 || tensor.stride(i) == like.stride(i));
  return same ? tensor : at::empty_like(like).copy_(tensor);
}

THAW_INLINE at::Tensor state_like(const at::Tensor& parameter, const at::Tensor& state) {
  return state.defined() ? laid_out_like(parameter, state) : at::zeros_like(parameter);
}

THAW_INLINE FusedCall& FusedCall::of(std::vector<FusedCall>& calls, const at::Tensor& parameter, std::int64_t step) {
  const auto fits = [&](const FusedCall& call) {
    return call.step == step && call.parameters[0].device() == parameter.device() &&
           call.parameters[0].scalar_type() == parameter.scalar_type();
  };
  auto found = std::ranges::find_if(calls, fits);
  if (found == calls.end()) found = calls.insert(found, FusedCall{.step = step});
  found->parameters.push_back(parameter);
  found->gradients.push_back(laid_out_like(parameter, parameter.grad()));
  return *found;
}

THAW_INLINE void FusedCall::tell_autograd() const {
  for (const at::Tensor& parameter : parameters)
    if (!parameter.is_inference()) parameter.unsafeGetTensorImpl()->bump_version();
}

THAW_INLINE std::vector<at::Tensor> FusedCall::steps() const {
  const at::Tensor step_tensor = at::full({}, static_cast<double>(step), parameters[0].options().dtype(at::kFloat));
  return std::vector<at::Tensor>(parameters.size(), step_tensor);
}

THAW_INLINE bool all_on(torch::optim::Optimizer& optimizer, const at::Device& device) {
  return std::ranges::all_of(optimizer.param_groups(), [&](const auto& group) {
    return std::ranges::all_of(group.params(), [&](const at::Tensor& each) { return each.device() == device; });
  });
}

}  // namespace thaw::detail

#endif
