// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/nn/init.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/functional.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <thaw/models/features_classifier.hpp>
#include <thaw/models/imagenet.hpp>
#include <thaw/models/stochastic_depth.hpp>

namespace thaw::models {

/// The defaults are ConvNeXt-Tiny's.
struct ConvNeXtOptions {
  std::int64_t classes = 1000;
  std::int64_t in_channels = 3;
  std::array<std::int64_t, 4> blocks = {3, 3, 9, 3};           ///< of each stage
  std::array<std::int64_t, 4> channels = {96, 192, 384, 768};  ///< of each stage
  /// How often an example skips a block in training, from 0 to this at the last one. That draws random numbers, so
  /// above 0 frozen blocks cannot be kept by Stage::cache, nor compiled, from the second on.
  double stochastic_depth = 0.1;
  double layer_scale = 1e-6;  ///< what each block's output is multiplied by at first
};

/// Layer norm over the channels of each pixel, [N, channels, H, W] (epsilon 1e-6).
struct LayerNorm2dImpl : torch::nn::LayerNormImpl {
  explicit LayerNorm2dImpl(std::int64_t channels) : LayerNormImpl(torch::nn::LayerNormOptions({channels}).eps(1e-6)) {}
  at::Tensor forward(const at::Tensor& x) {  // NOLINT(bugprone-derived-method-shadowing-base-method): as LibTorch does
    return LayerNormImpl::forward(x.permute({0, 2, 3, 1})).permute({0, 3, 1, 2});
  }
};
TORCH_MODULE(LayerNorm2d);

/// Residual block (arXiv:2201.03545): filter each channel (7x7), layer norm, widen four times, GELU, narrow; times a
/// factor per channel, then plus the input. [N, channels, H, W] keeps its shape.
struct ConvNeXtBlockImpl : torch::nn::Module {
  ConvNeXtBlockImpl(std::int64_t channels, double layer_scale_, double drop_) : drop(drop_) {
    using namespace torch::nn;
    using torch::nn::Linear;  // not thaw::LinearDecay, a schedule
    layer_scale = register_parameter("layer_scale", at::full({channels, 1, 1}, layer_scale_, at::kFloat));
    block =
        register_module("block", Sequential(Conv2d(Conv2dOptions(channels, channels, 7).padding(3).groups(channels)),
                                            Functional([](const at::Tensor& x) { return x.permute({0, 2, 3, 1}); }),
                                            LayerNorm(LayerNormOptions({channels}).eps(1e-6)),
                                            Linear(channels, 4 * channels), GELU(), Linear(4 * channels, channels),
                                            Functional([](const at::Tensor& x) { return x.permute({0, 3, 1, 2}); })));
  }

  at::Tensor forward(const at::Tensor& x) {
    at::Tensor y = layer_scale * block->forward(x);
    if (drop > 0 && is_training()) y = drop_examples(y, drop);
    return y += x;
  }

  double drop;  ///< stochastic depth
  at::Tensor layer_scale;
  torch::nn::Sequential block{nullptr};
};
TORCH_MODULE(ConvNeXtBlock);

/// ConvNeXt (arXiv:2201.03545) as torchvision has it.
///
/// Images [N, in_channels, H, W] from 32 pixels on give logits [N, classes]; the last rows and columns beyond a
/// multiple of 32 are not seen. Names and shapes in the state dict are torchvision's (`features.0.0.weight`, ...,
/// `classifier.2.bias`), so published weights load; they expect images by imagenet_mean and imagenet_std. Throws
/// ConfigError for options out of range.
/// Source: torchvision 0.28, models/convnext.py.
/// Example: ConvNeXt-Small is `ConvNeXt(ConvNeXtOptions{.blocks = {3, 3, 27, 3}, .stochastic_depth = 0.4})`.
struct ConvNeXtImpl : FeaturesClassifier<ConvNeXtOptions> {
  explicit ConvNeXtImpl(const ConvNeXtOptions& options_ = {}) : FeaturesClassifier("ConvNeXt", options_) {
    using torch::nn::Conv2d, torch::nn::Conv2dOptions;
    detail::check_probability("ConvNeXt", "stochastic_depth", options.stochastic_depth);
    detail::require("ConvNeXt", std::ranges::min(options.blocks) >= 1 && std::ranges::min(options.channels) >= 1,
                    fmt::format("blocks is {}, channels {}", options.blocks, options.channels),
                    "give every stage a block and a channel or more; ConvNeXt-Tiny has {3, 3, 9, 3}");
    least = 32;
    const auto& widths = options.channels;
    body->push_back(Layers(Conv2d(Conv2dOptions(options.in_channels, widths[0], 4).stride(4)), LayerNorm2d(widths[0])));
    std::int64_t count = 0, index = 0;
    for (const std::int64_t blocks : options.blocks) count += blocks;
    for (std::size_t i = 0; i < widths.size(); ++i) {
      if (i > 0)
        body->push_back(
            Layers(LayerNorm2d(widths[i - 1]), Conv2d(Conv2dOptions(widths[i - 1], widths[i], 2).stride(2))));
      Layers stage;
      for (std::int64_t j = 0; j < options.blocks[i]; ++j, ++index) {
        const double place = static_cast<double>(index) / static_cast<double>(count - 1);
        stage->push_back(ConvNeXtBlock(widths[i], options.layer_scale, options.stochastic_depth * place));
      }
      body->push_back(stage);
    }
    channels = widths.back();

    classifier->push_back(torch::nn::LayerNorm(torch::nn::LayerNormOptions({channels}).eps(1e-6)));
    classifier->push_back(torch::nn::Flatten());
    classifier->push_back(torch::nn::Linear(channels, options.classes));
    for (const auto& layer : modules(/*include_self=*/false)) {
      const auto* conv = layer->as<Conv2d>();
      const auto* linear = layer->as<torch::nn::Linear>();
      if (!conv && !linear) continue;
      torch::nn::init::normal_(conv ? conv->weight : linear->weight, 0, 0.02);  // cut at 2, so never
      torch::nn::init::zeros_(conv ? conv->bias : linear->bias);
    }
  }
};
TORCH_MODULE(ConvNeXt);

/// torchvision's network of this name, with random weights: 28.6 million parameters for 1,000 classes.
/// Example: `auto model = thaw::models::convnext_tiny({.classes = 10});`
[[nodiscard]] inline ConvNeXt convnext_tiny(const ConvNeXtOptions& options = {}) {
  return ConvNeXt(options);
}

/// Where to cut it, once its head is replaced, into three layer groups in the spirit of fastai's ResNet split:
///
///     features.0 to 3    stem, stages 1 and 2: edges and textures, down to 1/8 of the resolution
///     features.4 to 7    stages 3 and 4: parts and objects
///     head               new, with random weights
///
/// Example: `thaw::LayerGroups::cut_before(model, thaw::models::convnext_cuts())`.
[[nodiscard]] inline std::vector<std::string> convnext_cuts() {
  return {"features.4", "head"};
}

}  // namespace thaw::models
