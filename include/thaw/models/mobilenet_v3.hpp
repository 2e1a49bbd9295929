// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/nn/init.h>
#include <torch/nn/modules/container/functional.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <thaw/models/features_classifier.hpp>
#include <thaw/models/imagenet.hpp>
#include <thaw/models/initial_values.hpp>
#include <thaw/models/inverted_residual.hpp>

namespace thaw::models {

struct MobileNetV3Options {
  std::int64_t classes = 1000;
  std::int64_t in_channels = 3;
  double dropout = 0.2;  ///< before the last layer
  double bn_eps = 1e-3, bn_momentum = 0.01;
};

/// MobileNetV3-Large (arXiv:1905.02244) as torchvision has it: inverted bottlenecks, some with squeeze-and-excitation,
/// first with ReLU, later with hard swish.
///
/// Images [N, in_channels, H, W] of any size give logits [N, classes]. Names and shapes in the state dict are
/// torchvision's (`features.0.0.weight`, ..., `classifier.3.bias`), so published weights load; they expect images by
/// imagenet_mean and imagenet_std. A new head takes the place of both linear layers. Throws ConfigError for options out
/// of range.
/// Source: torchvision 0.28, models/mobilenetv3.py.
struct MobileNetV3Impl : FeaturesClassifier<MobileNetV3Options> {
  explicit MobileNetV3Impl(const MobileNetV3Options& options_ = {}) : FeaturesClassifier("MobileNetV3", options_) {
    detail::check_probability("MobileNetV3", "dropout", options.dropout);
    detail::check_norm("MobileNetV3", options.bn_eps, options.bn_momentum);
    struct Block {
      std::int64_t kernel, wide, out;
      bool squeeze, hard;
      std::int64_t stride;
    };
    constexpr std::array<Block, 15> blocks{{{3, 16, 16, false, false, 1},
                                            {3, 64, 24, false, false, 2},
                                            {3, 72, 24, false, false, 1},
                                            {5, 72, 40, true, false, 2},
                                            {5, 120, 40, true, false, 1},
                                            {5, 120, 40, true, false, 1},
                                            {3, 240, 80, false, true, 2},
                                            {3, 200, 80, false, true, 1},
                                            {3, 184, 80, false, true, 1},
                                            {3, 184, 80, false, true, 1},
                                            {3, 480, 112, true, true, 1},
                                            {3, 672, 112, true, true, 1},
                                            {5, 672, 160, true, true, 2},
                                            {5, 960, 160, true, true, 1},
                                            {5, 960, 160, true, true, 1}}};

    const auto conv = [this](std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride) {
      body->push_back(ConvNorm(ConvNormOptions{.in = in,
                                               .out = out,
                                               .kernel = kernel,
                                               .stride = stride,
                                               .activation = hard_swish,
                                               .bn_eps = options.bn_eps,
                                               .bn_momentum = options.bn_momentum}));
    };
    std::int64_t in = 16;
    conv(options.in_channels, in, 3, 2);
    for (const Block& block : blocks) {
      body->push_back(InvertedResidual(
          InvertedResidualOptions{.in = in,
                                  .out = block.out,
                                  .wide = block.wide,
                                  .kernel = block.kernel,
                                  .stride = block.stride,
                                  .activation = block.hard ? hard_swish : relu_in_place,
                                  .squeezed = block.squeeze ? round_channels(static_cast<double>(block.wide) / 4) : 0,
                                  .gate = hard_gate,
                                  .bn_eps = options.bn_eps,
                                  .bn_momentum = options.bn_momentum}));
      in = block.out;
    }
    channels = 960;
    conv(in, channels, 1, 1);

    torch::nn::Linear hidden(channels, 1280), last(1280, options.classes);
    classifier->push_back(hidden);
    classifier->push_back(torch::nn::Functional(hard_swish));
    classifier->push_back(torch::nn::Dropout(options.dropout));
    classifier->push_back(last);
    initialise_convolutions(*this);
    for (const torch::nn::Linear& linear : {hidden, last}) {
      torch::nn::init::normal_(linear->weight, 0, 0.01);
      torch::nn::init::zeros_(linear->bias);
    }
  }
};
TORCH_MODULE(MobileNetV3);

/// torchvision's network of this name, with random weights: 5.5 million parameters for 1,000 classes.
/// Example: `auto model = thaw::models::mobilenet_v3_large({.classes = 10});`
[[nodiscard]] inline MobileNetV3 mobilenet_v3_large(const MobileNetV3Options& options = {}) {
  return MobileNetV3(options);
}

/// Where to cut it, once its head is replaced, into three layer groups in the spirit of fastai's ResNet split:
///
///     features.0 to 6     edges and textures, down to 1/8 of the resolution
///     features.7 to 16    parts and objects
///     head                new, with random weights
///
/// Example: `thaw::LayerGroups::cut_before(model, thaw::models::mobilenet_v3_cuts())`.
[[nodiscard]] inline std::vector<std::string> mobilenet_v3_cuts() {
  return {"features.7", "head"};
}

}  // namespace thaw::models
