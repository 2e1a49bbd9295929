// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/hardsigmoid.h>
#include <ATen/ops/hardswish.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/relu6.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/pimpl.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include <thaw/models/norm_relu.hpp>

namespace thaw::models {

/// What follows a layer: any function from a tensor to one of its shape, which may overwrite it; null for none.
using Activation = at::Tensor (*)(at::Tensor);

// NOLINTBEGIN(performance-unnecessary-value-param): all are Activations, which may overwrite what they are given

/// In the place of their input: neither convolutions nor norms need their output for the backward pass.
[[nodiscard]] inline at::Tensor relu_in_place(at::Tensor x) {
  return at::relu_(x);
}
[[nodiscard]] inline at::Tensor relu6_in_place(at::Tensor x) {
  return at::relu6_(x);
}

/// x sigmoid(x), SiLU to PyTorch. Its backward pass needs x.
[[nodiscard]] inline at::Tensor swish(at::Tensor x) {
  return at::silu(x);
}
/// x relu6(x + 3) / 6 (arXiv:1905.02244). Its backward pass needs x.
[[nodiscard]] inline at::Tensor hard_swish(at::Tensor x) {
  return at::hardswish(x);
}

/// The gates of squeeze-and-excitation, from 0 to 1: sigmoid(x), and relu6(x + 3) / 6, whose backward pass needs x.
[[nodiscard]] inline at::Tensor sigmoid_gate(at::Tensor x) {
  return at::sigmoid_(x);
}
[[nodiscard]] inline at::Tensor hard_gate(at::Tensor x) {
  return at::hardsigmoid(x);
}

// NOLINTEND(performance-unnecessary-value-param)

/// To the nearest multiple of 8 that is not below 90 %: how the mobile networks scale their channels.
[[nodiscard]] inline std::int64_t round_channels(double channels) {
  const std::int64_t rounded = std::max<std::int64_t>(8, static_cast<std::int64_t>(channels + 4) / 8 * 8);
  return static_cast<double>(rounded) < 0.9 * channels ? rounded + 8 : rounded;
}

struct ConvNormOptions {
  std::int64_t in = 1, out = 1;  ///< channels
  std::int64_t kernel = 3, stride = 1, groups = 1;
  Activation activation = nullptr;
  double bn_eps = 1e-5, bn_momentum = 0.1;
};

/// A convolution without bias, padded by half its kernel; batch norm; an activation. In the state dict "0" and "1", as
/// in torchvision's Conv2dNormActivation. [N, in, H, W] -> [N, out, H / stride, W / stride], rounded up.
struct ConvNormImpl : torch::nn::Module {
  explicit ConvNormImpl(const ConvNormOptions& options_) : options(options_) {
    conv = register_module("0", torch::nn::Conv2d(torch::nn::Conv2dOptions(options.in, options.out, options.kernel)
                                                      .stride(options.stride)
                                                      .padding((options.kernel - 1) / 2)
                                                      .groups(options.groups)
                                                      .bias(false)));
    norm = register_module(
        "1", torch::nn::BatchNorm2d(
                 torch::nn::BatchNorm2dOptions(options.out).eps(options.bn_eps).momentum(options.bn_momentum)));
  }

  at::Tensor forward(const at::Tensor& x) {
    if (options.activation == relu_in_place) return norm_relu(norm, conv(x));
    if (options.activation == relu6_in_place) return norm_relu(norm, conv(x), relu6_limit);
    at::Tensor y = norm(conv(x));
    return options.activation ? options.activation(std::move(y)) : y;
  }

  ConvNormOptions options;
  torch::nn::Conv2d conv{nullptr};
  torch::nn::BatchNorm2d norm{nullptr};
};
TORCH_MODULE(ConvNorm);

}  // namespace thaw::models
