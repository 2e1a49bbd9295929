// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>

namespace thaw {

/// What a network expects of an image, per channel in the order RGB: (x / 255 - mean) / std.
struct ChannelStatistics {
  std::array<double, 3> mean, std;
};

/// What torchvision's and timm's published weights expect.
inline constexpr ChannelStatistics imagenet_statistics{{0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}};
/// What EfficientNet-lite's weights expect: (x - 127) / 128.
inline constexpr ChannelStatistics lite_statistics{{127. / 255, 127. / 255, 127. / 255},
                                                   {128. / 255, 128. / 255, 128. / 255}};

}  // namespace thaw
