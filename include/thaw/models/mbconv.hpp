// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/constant_pad_nd.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/pimpl.h>

#include <algorithm>
#include <cstdint>

#include <thaw/models/norm_relu.hpp>
#include <thaw/models/stochastic_depth.hpp>

namespace thaw::models {

/// A convolution without bias, padded as TensorFlow's SAME for images of `size` x `size` pixels: it gives
/// ceil(size / stride) pixels, and an odd row and column of zeros goes to the end. Images of other sizes get the same
/// padding (PyTorch ports call it static), so that a network's weights see the borders that they were trained with.
struct SameConv2dImpl : torch::nn::Conv2dImpl {
  SameConv2dImpl(torch::nn::Conv2dOptions options_, std::int64_t size)
      : Conv2dImpl(options_.bias(false).padding(padding_for(options_, size) / 2)),
        longer_end(padding_for(options_, size) % 2 == 1) {}

  at::Tensor forward(const at::Tensor& x) {  // NOLINT(bugprone-derived-method-shadowing-base-method): as LibTorch does
    return Conv2dImpl::forward(longer_end ? at::constant_pad_nd(x, {0, 1, 0, 1}) : x);
  }

  bool longer_end;  ///< one more zero after the image than before it, in both directions

 private:
  static std::int64_t padding_for(const torch::nn::Conv2dOptions& options, std::int64_t size) {
    const std::int64_t stride = options.stride()->front(), kernel = options.kernel_size()->front();
    return std::max<std::int64_t>(0, (size - 1) / stride * stride + kernel - size);
  }
};
TORCH_MODULE(SameConv2d);

struct MBConvOptions {
  std::int64_t in = 1, out = 1;  ///< channels
  std::int64_t kernel = 3, stride = 1;
  std::int64_t expand = 6;  ///< hidden channels per input channel
  std::int64_t size = 224;  ///< pixels of the incoming image, for the padding
  double drop = 0;          ///< stochastic depth: how often an example skips the block in training
  double bn_momentum = 0.01, bn_eps = 1e-3;
};

/// Inverted bottleneck without squeeze-excite (arXiv:1801.04381): widen (1x1), filter each channel (kxk),
/// narrow (1x1), batch norm after each, ReLU6 after the first two; then add the input, if the shape is the same.
/// [N, in, H, W] -> [N, out, H / stride, W / stride].
struct MBConvImpl : torch::nn::Module {
  explicit MBConvImpl(const MBConvOptions& options_) : options(options_) {
    const auto norm = [&](std::int64_t channels) {
      return torch::nn::BatchNorm2d(
          torch::nn::BatchNorm2dOptions(channels).eps(options.bn_eps).momentum(options.bn_momentum));
    };
    const auto pointwise = [](std::int64_t in, std::int64_t out) {
      return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 1).bias(false));
    };
    const std::int64_t wide = options.in * options.expand;
    const auto each_channel = torch::nn::Conv2dOptions(wide, wide, options.kernel).stride(options.stride).groups(wide);

    if (options.expand != 1) {
      expand_conv = register_module("_expand_conv", pointwise(options.in, wide));
      bn0 = register_module("_bn0", norm(wide));
    }
    depthwise_conv = register_module("_depthwise_conv", SameConv2d(each_channel, options.size));
    bn1 = register_module("_bn1", norm(wide));
    project_conv = register_module("_project_conv", pointwise(wide, options.out));
    bn2 = register_module("_bn2", norm(options.out));
  }

  at::Tensor forward(const at::Tensor& x) {
    at::Tensor y = expand_conv ? norm_relu(bn0, expand_conv(x), relu6_limit) : x;
    y = norm_relu(bn1, depthwise_conv(y), relu6_limit);
    y = bn2(project_conv(y));
    if (options.stride != 1 || options.in != options.out) return y;
    if (options.drop > 0 && is_training()) y = drop_examples(y, options.drop);
    return y + x;
  }

  MBConvOptions options;
  torch::nn::Conv2d expand_conv{nullptr}, project_conv{nullptr};
  SameConv2d depthwise_conv{nullptr};
  torch::nn::BatchNorm2d bn0{nullptr}, bn1{nullptr}, bn2{nullptr};
};
TORCH_MODULE(MBConv);

}  // namespace thaw::models
