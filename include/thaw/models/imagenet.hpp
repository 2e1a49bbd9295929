// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>

#include <thaw/core/channel_statistics.hpp>

namespace thaw::models {

/// What torchvision's published weights expect of an image, per channel in the order RGB: (x / 255 - mean) / std.
inline constexpr std::array<double, 3> imagenet_mean = imagenet_statistics.mean;
inline constexpr std::array<double, 3> imagenet_std = imagenet_statistics.std;

}  // namespace thaw::models
