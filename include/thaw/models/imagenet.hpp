#pragma once

#include <array>

namespace thaw::models {

/// What torchvision's published weights expect of an image, per channel in the order RGB: (x / 255 - mean) / std.
inline constexpr std::array<double, 3> imagenet_mean{0.485, 0.456, 0.406};
inline constexpr std::array<double, 3> imagenet_std{0.229, 0.224, 0.225};

}  // namespace thaw::models
