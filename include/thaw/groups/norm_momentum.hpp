// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/instancenorm.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>

namespace thaw {

namespace detail {

/// A layer from TorchScript, asked without TorchScript's headers. The momentum of its statistics, if it has any, is a
/// constant of its program.
class ScriptLayer {
 public:
  ScriptLayer() = default;
  ScriptLayer(const ScriptLayer&) = default;
  ScriptLayer(ScriptLayer&&) = default;
  ScriptLayer& operator=(const ScriptLayer&) = default;
  ScriptLayer& operator=(ScriptLayer&&) = default;
  virtual ~ScriptLayer() = default;
  [[nodiscard]] virtual bool has_statistics() const = 0;
  /// Whether they move in training mode: not where that was traced in evaluation mode.
  [[nodiscard]] virtual bool moves_statistics() const = 0;
};

/// Throws ConfigError that names the TorchScript layers for which `is_meant`: what is asked would be off, silently.
void refuse_script_norms(const torch::nn::Module& model, const std::string& where,
                         const std::function<bool(const torch::nn::Module&, const ScriptLayer&)>& is_meant);

/// Calls `visit(layer)` if the module is one of LibTorch's norm layers and keeps running statistics.
template <class Visit>
bool visit_norm(torch::nn::Module& module, Visit visit) {
  const auto one_of = [&]<class... Norm>(std::type_identity<Norm>...) {
    return ([&] {
      auto* norm = module.as<Norm>();
      if (norm == nullptr || !norm->running_mean.defined()) return false;
      visit(*norm);
      return true;
    }() || ...);
  };
  using namespace torch::nn;
  return one_of(std::type_identity<BatchNorm1d>{}, std::type_identity<BatchNorm2d>{}, std::type_identity<BatchNorm3d>{},
                std::type_identity<InstanceNorm1d>{}, std::type_identity<InstanceNorm2d>{},
                std::type_identity<InstanceNorm3d>{});
}

}  // namespace detail

/// How fast a norm layer's running statistics move: running = (1 - momentum) running + momentum batch. None for a
/// module that is no LibTorch norm layer with statistics, and for one that takes the plain mean of all batches.
[[nodiscard]] std::optional<double> norm_momentum(torch::nn::Module& module);

/// Sets how fast the running statistics of every norm layer in `module` move, in PyTorch's sense:
///
///     running = (1 - momentum) * running + momentum * batch
///
/// so that .1 (PyTorch's default) forgets the old statistics in a few tens of steps, and .01 (EfficientNet's) in a few
/// hundred. Matters only where norm layers train; short fine-tuning runs may need more than the pretrained network's.
/// 0 keeps the statistics as they are, 1 takes those of the last batch.
/// Returns how many layers there were. Throws ConfigError for a momentum outside [0, 1], and for norm layers from
/// TorchScript, whose momentum cannot be set; then nothing is set.
/// Example: `thaw::set_norm_momentum(*model, 0.1);`
std::size_t set_norm_momentum(torch::nn::Module& module, double momentum);

}  // namespace thaw

#if THAW_DEFINES(groups)

namespace thaw::detail {

THAW_INLINE void refuse_script_norms(
    const torch::nn::Module& model, const std::string& where,
    const std::function<bool(const torch::nn::Module&, const ScriptLayer&)>& is_meant) {
  std::vector<std::string> names;
  const auto look = [&](const std::string& name, const torch::nn::Module& module) {
    const auto* script = dynamic_cast<const ScriptLayer*>(&module);
    if (script != nullptr && script->has_statistics() && is_meant(module, *script))
      names.push_back(name.empty() ? module.name() : name);
  };
  look("", model);
  for (const auto& entry : model.named_modules("", /*include_self=*/false)) look(entry.key(), *entry.value());
  if (!names.empty())
    throw ConfigError(where,
                      "the momentum of TorchScript's norm layers is a constant of their program: " + join_names(names),
                      "set it in Python before the module is scripted or traced; or hold these layers: Norm::hold");
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE std::optional<double> norm_momentum(torch::nn::Module& module) {
  std::optional<double> momentum;
  detail::visit_norm(module, [&](auto& norm) { momentum = norm.options.momentum(); });
  return momentum;
}

THAW_INLINE std::size_t set_norm_momentum(torch::nn::Module& module, double momentum) {
  if (!(momentum >= 0 && momentum <= 1))
    throw ConfigError("set_norm_momentum", "momentum is " + detail::number(momentum),
                      "give the weight of the newest batch, in [0, 1]; TensorFlow's momentum is 1 minus that");
  detail::refuse_script_norms(module, "set_norm_momentum", [](const auto&, const auto&) { return true; });
  std::size_t layers = 0;
  const auto set = [&](torch::nn::Module& layer) {
    layers += detail::visit_norm(layer, [&](auto& norm) { norm.options.momentum(momentum); }) ? 1 : 0;
  };
  set(module);
  for (const auto& layer : module.modules(/*include_self=*/false)) set(*layer);
  return layers;
}

}  // namespace thaw

#endif
