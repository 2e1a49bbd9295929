// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/nn/init.h>
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

struct MobileNetV2Options {
  std::int64_t classes = 1000;
  std::int64_t in_channels = 3;
  double dropout = 0.2;  ///< before the classifier
};

/// MobileNetV2 (arXiv:1801.04381) as torchvision has it: inverted bottlenecks with ReLU6.
///
/// Images [N, in_channels, H, W] of any size give logits [N, classes]. Names and shapes in the state dict are
/// torchvision's (`features.0.0.weight`, ..., `classifier.1.bias`), so published weights load; they expect images by
/// imagenet_mean and imagenet_std. Throws ConfigError for options out of range.
/// Source: torchvision 0.28, models/mobilenetv2.py.
struct MobileNetV2Impl : FeaturesClassifier<MobileNetV2Options> {
  explicit MobileNetV2Impl(const MobileNetV2Options& options_ = {}) : FeaturesClassifier("MobileNetV2", options_) {
    detail::check_probability("MobileNetV2", "dropout", options.dropout);
    struct Stage {
      std::int64_t expand, channels, blocks, stride;
    };
    constexpr std::array<Stage, 7> stages{
        {{1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}}};

    std::int64_t in = 32;
    body->push_back(
        ConvNorm(ConvNormOptions{.in = options.in_channels, .out = in, .stride = 2, .activation = relu6_in_place}));
    for (const Stage& stage : stages)
      for (std::int64_t i = 0; i < stage.blocks; ++i) {
        body->push_back(InvertedResidual(InvertedResidualOptions{.in = in,
                                                                 .out = stage.channels,
                                                                 .wide = in * stage.expand,
                                                                 .stride = i == 0 ? stage.stride : 1,
                                                                 .v2_names = true}));
        in = stage.channels;
      }
    channels = 1280;
    body->push_back(ConvNorm(ConvNormOptions{.in = in, .out = channels, .kernel = 1, .activation = relu6_in_place}));

    torch::nn::Linear linear(channels, options.classes);
    classifier->push_back(torch::nn::Dropout(options.dropout));
    classifier->push_back(linear);
    initialise_convolutions(*this);
    torch::nn::init::normal_(linear->weight, 0, 0.01);
    torch::nn::init::zeros_(linear->bias);
  }
};
TORCH_MODULE(MobileNetV2);

/// torchvision's network of this name, with random weights: 3.5 million parameters for 1,000 classes.
/// Example: `auto model = thaw::models::mobilenet_v2({.classes = 10});`
[[nodiscard]] inline MobileNetV2 mobilenet_v2(const MobileNetV2Options& options = {}) {
  return MobileNetV2(options);
}

/// Where to cut it, once its head is replaced, into three layer groups in the spirit of fastai's ResNet split:
///
///     features.0 to 6     edges and textures, down to 1/8 of the resolution
///     features.7 to 18    parts and objects
///     head                new, with random weights
///
/// Example: `thaw::LayerGroups::cut_before(model, thaw::models::mobilenet_v2_cuts())`.
[[nodiscard]] inline std::vector<std::string> mobilenet_v2_cuts() {
  return {"features.7", "head"};
}

}  // namespace thaw::models
