// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>

#include <cstdint>
#include <string>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/vision/contact_sheet.hpp>
#include <thaw/vision/normalization.hpp>

namespace thaw::vision {

/// The filters of a model's first convolution, in the order of registration, as images: what each answers to most. A
/// weight of 0 is mid-grey, the filter's largest, whatever its sign, is white or black (of a colour: all or none of
/// it). Captions are the channels' numbers. Throws ConfigError where there is no convolution, or it takes other than
/// one or three channels.
///
///     write_image(contact_sheet(first_layer_filters(*model), {.tile = 48, .smooth = false}), "filters.png");
[[nodiscard]] inline std::vector<Tile> first_layer_filters(const torch::nn::Module& model) {
  for (const auto& layer : model.modules()) {
    const auto* conv = layer->as<torch::nn::Conv2d>();
    if (conv == nullptr) continue;
    const at::Tensor weight = conv->weight.detach().to(at::kCPU, at::kFloat);
    const std::int64_t channels = weight.size(1);
    if (channels != 1 && channels != 3)
      throw ConfigError("first_layer_filters", "the first convolution takes " + std::to_string(channels) + " channels",
                        "give a network for grey images or for colours");
    const Normalization plain(std::vector<double>(static_cast<std::size_t>(channels), 0.5),
                              std::vector<double>(static_cast<std::size_t>(channels), 0.5));  // [-1, 1] to [0, 255]
    std::vector<Tile> tiles;
    for (std::int64_t i = 0; i < weight.size(0); ++i) {
      const at::Tensor most = weight[i].abs().max().clamp_min(1e-30);
      tiles.push_back({to_image(weight[i] / most, plain), std::to_string(i)});
    }
    return tiles;
  }
  throw ConfigError("first_layer_filters", "the model has no Conv2d", "give a network for images");
}

}  // namespace thaw::vision
