// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/enum.h>
#include <torch/nn/init.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>

namespace thaw::models {

/// The initial values of most of torchvision's networks: of each convolution, in the order of registration, the weight
/// normal with variance 2 / (k k filters), whatever its groups, the bias 0. Batch norm is 1 and 0 already.
inline void initialise_convolutions(torch::nn::Module& net) {
  for (const auto& layer : net.modules(/*include_self=*/false)) {
    auto* conv = layer->as<torch::nn::Conv2d>();
    if (!conv) continue;
    torch::nn::init::kaiming_normal_(conv->weight, 0, torch::kFanOut, torch::kReLU);
    if (conv->bias.defined()) torch::nn::init::zeros_(conv->bias);
  }
}

}  // namespace thaw::models
