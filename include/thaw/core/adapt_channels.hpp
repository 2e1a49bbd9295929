// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/util/StringUtil.h>

#include <cstdint>
#include <string>

#include <thaw/core/error.hpp>

namespace thaw {

/// The weight of a first convolution that was trained on RGB, [filters, 3, k, k], for images of other channels:
/// [filters, channels, k, k].
///
///     1 channel          the sum over the three: a grey image gives what it gave as R = G = B
///     2 channels         the first two, times 1.5
///     4 channels or more the three as they are; 0 for the others, so that they start without effect
///
/// Gives a new tensor (3 channels: the weight itself). Throws ConfigError for another shape and for `channels` below 1.
/// Source: fastai 2.8, vision/learner.py, _load_pretrained_weights.
[[nodiscard]] inline at::Tensor adapt_input_channels(const at::Tensor& weight, std::int64_t channels) {
  if (weight.dim() != 4 || weight.size(1) != 3)
    throw ConfigError("adapt_input_channels", "the weight is " + c10::str(weight.sizes()),
                      "give a convolution's of three input channels, [filters, 3, k, k]");
  if (channels < 1)
    throw ConfigError("adapt_input_channels", "channels is " + std::to_string(channels), "give 1 or more");
  if (channels == 3) return weight;
  const at::Tensor rgb = weight.detach();
  if (channels == 1) return rgb.sum(1, /*keepdim=*/true);
  if (channels == 2) return rgb.slice(1, 0, 2) * 1.5;
  at::Tensor wider = at::zeros({rgb.size(0), channels, rgb.size(2), rgb.size(3)}, rgb.options());
  wider.slice(1, 0, 3).copy_(rgb);
  return wider;
}

}  // namespace thaw
