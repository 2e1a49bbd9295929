#pragma once

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/instancenorm.h>

#include <optional>

namespace thaw {

namespace detail {

/// Calls `visit(layer)` if the module is one of LibTorch's norm layers that keep running statistics.
template <class Visit>
bool visit_norm(torch::nn::Module& module, Visit visit) {
  const auto as = [&]<class... Norm>(std::type_identity<Norm>...) {
    return ([&] {
      auto* norm = module.as<Norm>();
      if (norm != nullptr) visit(*norm);
      return norm != nullptr;
    }() || ...);
  };
  using namespace torch::nn;
  return as(std::type_identity<BatchNorm1d>{}, std::type_identity<BatchNorm2d>{}, std::type_identity<BatchNorm3d>{},
            std::type_identity<InstanceNorm1d>{}, std::type_identity<InstanceNorm2d>{},
            std::type_identity<InstanceNorm3d>{});
}

}  // namespace detail

/// How fast a norm layer's running statistics move: running = (1 - momentum) running + momentum batch. None for a
/// module that is no LibTorch norm layer, and for one that takes the plain mean of all batches.
[[nodiscard]] inline std::optional<double> norm_momentum(torch::nn::Module& module) {
  std::optional<double> momentum;
  detail::visit_norm(module, [&](auto& norm) { momentum = norm.options.momentum(); });
  return momentum;
}

}  // namespace thaw
