// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>

#include <cstdint>

#include <thaw/core/adapt_channels.hpp>
#include <thaw/core/error.hpp>

namespace thaw::models {

namespace detail {

/// In the order of registration, which in thaw's models is that of the forward pass.
[[nodiscard]] inline torch::nn::Conv2dImpl& first_convolution(const char* where, const torch::nn::Module& net) {
  for (const auto& layer : net.modules())
    if (auto* conv = layer->as<torch::nn::Conv2d>()) return *conv;
  throw ConfigError(where, "the model has no Conv2d", "give a network for images");
}

}  // namespace detail

/// Makes of a network for RGB, with its weights, one for images of so many channels, by fastai's rule (see
/// adapt_input_channels): its first convolution gets another weight, and `model->options.in_channels`, where there is
/// one, another value.
///
/// `model` is a ModuleHolder or std::shared_ptr. The weight stays the same parameter, without its gradient; an
/// optimizer made before would hold state of the old shape, so adapt first. Of a U-Net adapt the body, then make
/// the U-Net: its decoder takes the image, too. Throws ConfigError if the first convolution does not take three
/// channels, or `channels` is below 1.
///
///     auto model = thaw::models::resnet34();
///     thaw::load_weights(model, "resnet34-b627a593.pth");
///     thaw::models::adapt_first_convolution(model, 1);  // for X-rays
template <class Model>
void adapt_first_convolution(Model model, std::int64_t channels) {
  static_assert(
      !requires { model->decoder; }, "thaw: adapt the body, then make the U-Net: its decoder takes the image, too");
  if (!model) throw ConfigError("adapt_first_convolution", "the model is null", "build it first");
  torch::nn::Conv2dImpl& conv = detail::first_convolution("adapt_first_convolution", *model);
  const at::Tensor adapted = adapt_input_channels(conv.weight, channels);
  if (channels == conv.options.in_channels()) return;
  conv.weight.mutable_grad() = at::Tensor();
  conv.weight.set_data(adapted);
  conv.options.in_channels(channels);
  if constexpr (requires { model->options.in_channels = channels; }) model->options.in_channels = channels;
}

}  // namespace thaw::models
