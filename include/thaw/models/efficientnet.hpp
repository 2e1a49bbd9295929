// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/nn/init.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <thaw/models/efficientnet_stages.hpp>
#include <thaw/models/features_classifier.hpp>
#include <thaw/models/imagenet.hpp>
#include <thaw/models/initial_values.hpp>
#include <thaw/models/inverted_residual.hpp>

namespace thaw::models {

struct EfficientNetOptions {
  std::int64_t classes = 1000;
  std::int64_t in_channels = 3;
  double dropout = 0.2;  ///< before the classifier
  /// How often an example skips a block in training, rising to this after the last one. That draws random numbers, so
  /// above 0 frozen blocks cannot be kept by Stage::cache, nor compiled, from the third on.
  double stochastic_depth = 0.2;
  double bn_eps = 1e-5, bn_momentum = 0.1;  ///< weights that come from TensorFlow were trained with 1e-3 and .01
};

/// EfficientNet-B0 (arXiv:1905.11946) as torchvision has it: inverted bottlenecks, squeeze-and-excitation, swish.
///
/// Images [N, in_channels, H, W] of any size give logits [N, classes]. Names and shapes in the state dict are
/// torchvision's (`features.0.0.weight`, ..., `classifier.1.bias`), so published weights load; they expect images by
/// imagenet_mean and imagenet_std. Throws ConfigError for options out of range.
/// Source: torchvision 0.28, models/efficientnet.py. Without squeeze-and-excitation: efficientnet_lite.hpp.
struct EfficientNetImpl : FeaturesClassifier<EfficientNetOptions> {
  explicit EfficientNetImpl(const EfficientNetOptions& options_ = {}) : FeaturesClassifier("EfficientNet", options_) {
    detail::check_probability("EfficientNet", "dropout", options.dropout);
    detail::check_probability("EfficientNet", "stochastic_depth", options.stochastic_depth);
    detail::check_norm("EfficientNet", options.bn_eps, options.bn_momentum);
    const auto conv = [this](std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride) {
      body->push_back(ConvNorm(ConvNormOptions{.in = in,
                                               .out = out,
                                               .kernel = kernel,
                                               .stride = stride,
                                               .activation = swish,
                                               .bn_eps = options.bn_eps,
                                               .bn_momentum = options.bn_momentum}));
    };
    std::int64_t in = 32, count = 0, index = 0;
    conv(options.in_channels, in, 3, 2);
    for (const EfficientNetStage& stage : efficientnet_b0_stages) count += stage.blocks;
    for (const EfficientNetStage& stage : efficientnet_b0_stages) {
      Layers row;
      for (std::int64_t i = 0; i < stage.blocks; ++i, ++index) {
        const double place = static_cast<double>(index) / static_cast<double>(count);
        row->push_back(InvertedResidual(InvertedResidualOptions{.in = in,
                                                                .out = stage.channels,
                                                                .wide = in * stage.expand,
                                                                .kernel = stage.kernel,
                                                                .stride = i == 0 ? stage.stride : 1,
                                                                .activation = swish,
                                                                .squeezed = in / 4,
                                                                .squeeze_activation = swish,
                                                                .drop = options.stochastic_depth * place,
                                                                .bn_eps = options.bn_eps,
                                                                .bn_momentum = options.bn_momentum}));
        in = stage.channels;
      }
      body->push_back(row);
    }
    channels = 1280;
    conv(in, channels, 1, 1);

    torch::nn::Linear linear(channels, options.classes);
    classifier->push_back(torch::nn::Dropout(options.dropout));
    classifier->push_back(linear);
    initialise_convolutions(*this);
    const double bound = 1 / std::sqrt(static_cast<double>(options.classes));
    torch::nn::init::uniform_(linear->weight, -bound, bound);
    torch::nn::init::zeros_(linear->bias);
  }
};
TORCH_MODULE(EfficientNet);

/// torchvision's network of this name, with random weights: 5.3 million parameters for 1,000 classes.
/// Example: `auto model = thaw::models::efficientnet_b0({.classes = 10});`
[[nodiscard]] inline EfficientNet efficientnet_b0(const EfficientNetOptions& options = {}) {
  return EfficientNet(options);
}

/// Where to cut it, once its head is replaced, into three layer groups in the spirit of fastai's ResNet split:
///
///     features.0 to 3    stem, stages 1 to 3: edges and textures, down to 1/8 of the resolution
///     features.4 to 8    stages 4 to 7: parts and objects
///     head               new, with random weights
///
/// Example: `thaw::LayerGroups::cut_before(model, thaw::models::efficientnet_cuts())`.
[[nodiscard]] inline std::vector<std::string> efficientnet_cuts() {
  return {"features.4", "head"};
}

}  // namespace thaw::models
