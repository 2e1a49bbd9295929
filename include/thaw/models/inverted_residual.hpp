// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

#include <thaw/models/conv_norm.hpp>
#include <thaw/models/stochastic_depth.hpp>

namespace thaw::models {

struct SqueezeExciteOptions {
  std::int64_t channels = 1;
  std::int64_t squeezed = 1;  ///< channels in the middle
  Activation activation = relu_in_place;
  Activation gate = sigmoid_gate;
};

/// Squeeze-and-excitation (arXiv:1709.01507): each channel times gate(fc2(activation(fc1(means of all channels)))).
/// [N, channels, H, W] keeps its shape. In the state dict "fc1" and "fc2", 1x1 convolutions as in torchvision.
struct SqueezeExciteImpl : torch::nn::Module {
  explicit SqueezeExciteImpl(const SqueezeExciteOptions& options_) : options(options_) {
    const auto pointwise = [](std::int64_t in, std::int64_t out) {
      return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 1));
    };
    fc1 = register_module("fc1", pointwise(options.channels, options.squeezed));
    fc2 = register_module("fc2", pointwise(options.squeezed, options.channels));
  }

  at::Tensor forward(const at::Tensor& x) {
    const at::Tensor means = x.mean({2, 3}, /*keepdim=*/true);
    return options.gate(fc2(options.activation(fc1(means)))) * x;
  }

  SqueezeExciteOptions options;
  torch::nn::Conv2d fc1{nullptr}, fc2{nullptr};
};
TORCH_MODULE(SqueezeExcite);

struct InvertedResidualOptions {
  std::int64_t in = 1, out = 1;  ///< channels
  std::int64_t wide = 6;         ///< channels inside; if as many as come in, nothing widens
  std::int64_t kernel = 3, stride = 1;
  Activation activation = relu6_in_place;
  std::int64_t squeezed = 0;  ///< channels in the middle of squeeze-and-excitation; 0 for none
  Activation squeeze_activation = relu_in_place, gate = sigmoid_gate;
  double drop = 0;  ///< stochastic depth: how often an example skips the block in training
  double bn_eps = 1e-5, bn_momentum = 0.1;
  bool v2_names = false;  ///< MobileNetV2's: "conv" for "block", and the narrowing layers bare
};

/// Inverted bottleneck (arXiv:1801.04381): widen (1x1), filter each channel (kxk), perhaps squeeze and excite, narrow
/// (1x1); batch norm after each convolution, an activation after the first two; then add the input, if the shape is the
/// same. [N, in, H, W] -> [N, out, H / stride, W / stride], rounded up.
struct InvertedResidualImpl : torch::nn::Module {
  explicit InvertedResidualImpl(const InvertedResidualOptions& options_) : options(options_) {
    const auto layer = [&](std::int64_t in, std::int64_t out, Activation activation) {
      return ConvNormOptions{.in = in,
                             .out = out,
                             .kernel = 1,
                             .activation = activation,
                             .bn_eps = options.bn_eps,
                             .bn_momentum = options.bn_momentum};
    };
    const std::int64_t wide = options.wide;
    block = register_module(options.v2_names ? "conv" : "block", torch::nn::Sequential());
    if (wide != options.in) block->push_back(ConvNorm(layer(options.in, wide, options.activation)));

    ConvNormOptions each_channel = layer(wide, wide, options.activation);
    each_channel.kernel = options.kernel;
    each_channel.stride = options.stride;
    each_channel.groups = wide;
    block->push_back(ConvNorm(each_channel));

    if (options.squeezed > 0)
      block->push_back(SqueezeExcite(SqueezeExciteOptions{.channels = wide,
                                                          .squeezed = options.squeezed,
                                                          .activation = options.squeeze_activation,
                                                          .gate = options.gate}));

    const ConvNorm narrow(layer(wide, options.out, nullptr));
    if (options.v2_names) {
      block->push_back(narrow->conv);
      block->push_back(narrow->norm);
    } else {
      block->push_back(narrow);
    }
  }

  at::Tensor forward(const at::Tensor& x) {
    at::Tensor y = block->forward(x);
    if (options.stride != 1 || options.in != options.out) return y;
    if (options.drop > 0 && is_training()) y = drop_examples(y, options.drop);
    return y += x;
  }

  InvertedResidualOptions options;
  torch::nn::Sequential block{nullptr};
};
TORCH_MODULE(InvertedResidual);

}  // namespace thaw::models
