#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>

#include <cstddef>
#include <string>

#include <thaw/core/error.hpp>

namespace thaw::models {

/// Sets how fast the running statistics of every batch norm in `module` move, in PyTorch's sense:
///
///     running = (1 - momentum) * running + momentum * batch
///
/// so that .1 (PyTorch's default) forgets the old statistics in a few tens of steps, and .01 (EfficientNet's) in a few
/// hundred. Matters only where norm layers train; short fine-tuning runs may need more than the pretrained network's.
/// 0 keeps the statistics as they are, 1 takes those of the last batch.
/// Returns how many layers there were. Throws ConfigError for a momentum outside [0, 1].
/// Example: `thaw::models::set_norm_momentum(*model, 0.1);`
inline std::size_t set_norm_momentum(torch::nn::Module& module, double momentum) {
  if (!(momentum >= 0 && momentum <= 1))
    throw ConfigError("set_norm_momentum", "momentum is " + std::to_string(momentum),
                      "give the weight of the newest batch, in [0, 1]; TensorFlow's momentum is 1 minus that");
  std::size_t layers = 0;
  const auto set = [&](torch::nn::Module& layer) {
    const auto set_if = [&](auto* norm) {
      if (norm == nullptr) return;
      norm->options.momentum(momentum);
      ++layers;
    };
    set_if(layer.as<torch::nn::BatchNorm1d>());
    set_if(layer.as<torch::nn::BatchNorm2d>());
    set_if(layer.as<torch::nn::BatchNorm3d>());
  };
  set(module);
  for (const auto& layer : module.modules(/*include_self=*/false)) set(*layer);
  return layers;
}

}  // namespace thaw::models
