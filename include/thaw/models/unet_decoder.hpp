// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/pixel_shuffle.h>
#include <ATen/ops/replication_pad2d.h>
#include <ATen/ops/upsample_nearest2d.h>
#include <torch/nn/init.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/pimpl.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <thaw/core/forward_part.hpp>

namespace thaw::models {

namespace detail {

/// [N, C, h, w] -> [N, C, H, W] of `like`, each pixel from the nearest.
inline at::Tensor resize_as(const at::Tensor& x, const at::Tensor& like) {
  const auto size = like.sizes().slice(2);
  return x.sizes().slice(2) == size ? x : at::upsample_nearest2d(x, size);
}

/// fastai's initial values: weights normal with variance 2 / inputs, biases 0.
inline torch::nn::Conv2d unet_conv(std::int64_t in, std::int64_t out, std::int64_t kernel) {
  torch::nn::Conv2d conv(torch::nn::Conv2dOptions(in, out, kernel).padding(kernel / 2));
  torch::nn::init::kaiming_normal_(conv->weight);
  torch::nn::init::zeros_(conv->bias);
  return conv;
}

inline torch::nn::BatchNorm2d unet_norm(std::int64_t channels) {
  torch::nn::BatchNorm2d norm(channels);
  torch::nn::init::constant_(norm->bias, 1e-3);
  return norm;
}

}  // namespace detail

/// Twice the resolution by pixel shuffle (arXiv:1609.05158): a 1x1 convolution to 4 `out` channels, ReLU, the four
/// moved to 2x2 pixels. The four start equal (ICNR, arXiv:1707.02937), so that no checkerboard shows at first; `blur`
/// averages 2x2 pixels after that, so that none comes. [N, in, H, W] -> [N, out, 2 H, 2 W].
struct PixelShuffleUpImpl : torch::nn::Module {
  PixelShuffleUpImpl(std::int64_t in, std::int64_t out, bool blur_) : blur(blur_) {
    conv = register_module("conv", detail::unet_conv(in, 4 * out, 1));
    const at::NoGradGuard no_grad;
    conv->weight.copy_(conv->weight.slice(0, 0, out).repeat_interleave(4, 0).clone());
  }

  at::Tensor forward(const at::Tensor& x) {
    const at::Tensor y = at::pixel_shuffle(conv(x).relu_(), 2);
    return blur ? at::avg_pool2d(at::replication_pad2d(y, {1, 0, 1, 0}), 2, 1) : y;
  }

  bool blur;
  torch::nn::Conv2d conv{nullptr};
};
TORCH_MODULE(PixelShuffleUp);

/// One step up: what comes from below at twice the resolution, next to what the body had at that resolution, batch
/// normed; ReLU, then two 3x3 convolutions with ReLU. x [N, below, h, w] and tap [N, tap, H, W] -> [N, out, H, W].
struct UNetBlockImpl : torch::nn::Module {
  UNetBlockImpl(std::int64_t below, std::int64_t tap, std::int64_t out, bool blur) {
    up = register_module("up", PixelShuffleUp(below, below / 2, blur));
    norm = register_module("norm", detail::unet_norm(tap));
    conv1 = register_module("conv1", detail::unet_conv(below / 2 + tap, out, 3));
    conv2 = register_module("conv2", detail::unet_conv(out, out, 3));
  }

  at::Tensor forward(const at::Tensor& x, const at::Tensor& tap) {
    const at::Tensor both = at::cat({detail::resize_as(up(x), tap), norm(tap)}, 1).relu_();
    return conv2(conv1(both).relu_()).relu_();
  }

  PixelShuffleUp up{nullptr};
  torch::nn::BatchNorm2d norm{nullptr};
  torch::nn::Conv2d conv1{nullptr}, conv2{nullptr};
};
TORCH_MODULE(UNetBlock);

struct UNetDecoderOptions {
  std::int64_t classes = 2;
  std::int64_t image = 3;               ///< channels of the images
  std::vector<std::int64_t> taps = {};  ///< channels of what the body gives on its way, first to last
  std::int64_t features = 512;          ///< channels of what it gives at its end
  std::int64_t bottom = 512;            ///< channels at the lowest resolution
  std::int64_t ups = 1;                 ///< how often the first tap is half the image's resolution
  bool blur = false, last_cross = true;
};

/// The way up of a U-Net: from Tensors {image, first tap, ..., last tap, features} to logits [N, classes, H, W]. See
/// unet.
struct UNetDecoderImpl : torch::nn::Module {
  explicit UNetDecoderImpl(UNetDecoderOptions options_) : options(std::move(options_)) {
    norm = register_module("norm", detail::unet_norm(options.features));
    middle1 = register_module("middle1", detail::unet_conv(options.features, 2 * options.bottom, 3));
    middle2 = register_module("middle2", detail::unet_conv(2 * options.bottom, options.bottom, 3));
    blocks = register_module("blocks", torch::nn::ModuleList());
    std::int64_t channels = options.bottom;
    for (std::size_t i = options.taps.size(); i-- > 0;) {
      const std::int64_t both = channels / 2 + options.taps[i], out = i > 0 ? both : both / 2;
      blocks->push_back(UNetBlock(channels, options.taps[i], out, options.blur));
      channels = out;
    }
    ups = register_module("ups", torch::nn::Sequential());
    for (std::int64_t i = 0; i < options.ups; ++i) ups->push_back(PixelShuffleUp(channels, channels, /*blur=*/false));
    if (options.last_cross) {
      channels += options.image;
      cross1 = register_module("cross1", detail::unet_conv(channels, channels, 3));
      cross2 = register_module("cross2", detail::unet_conv(channels, channels, 3));
    }
    logits = register_module("logits", detail::unet_conv(channels, options.classes, 1));
  }

  at::Tensor forward(const ForwardPart::Tensors& x) {
    at::Tensor y = norm(x.back()).relu_();
    y = middle2(middle1(y).relu_()).relu_();
    for (std::size_t i = 0; i < options.taps.size(); ++i)
      y = blocks[i]->as<UNetBlock>()->forward(y, x.at(options.taps.size() - i));
    if (!ups->is_empty()) y = ups->forward(y);
    y = detail::resize_as(y, x[0]);
    if (cross1) {
      y = at::cat({y, x[0]}, 1);
      y = cross2(cross1(y).relu_()).add_(y).relu_();
    }
    return logits(y);
  }

  UNetDecoderOptions options;
  torch::nn::BatchNorm2d norm{nullptr};
  torch::nn::Conv2d middle1{nullptr}, middle2{nullptr}, cross1{nullptr}, cross2{nullptr}, logits{nullptr};
  torch::nn::ModuleList blocks{nullptr};
  torch::nn::Sequential ups{nullptr};
};
TORCH_MODULE(UNetDecoder);

}  // namespace thaw::models
