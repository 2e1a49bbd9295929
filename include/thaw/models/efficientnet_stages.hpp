// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>
#include <cstdint>

namespace thaw::models {

/// Blocks in a row, of which the first changes the resolution and the number of channels.
struct EfficientNetStage {
  std::int64_t blocks, kernel, stride, expand, channels;
};

/// The seven stages of EfficientNet-B0 (arXiv:1905.11946, table 1), of which all others are multiples.
inline constexpr std::array<EfficientNetStage, 7> efficientnet_b0_stages{{{1, 3, 1, 1, 16},
                                                                          {2, 3, 2, 6, 24},
                                                                          {2, 5, 2, 6, 40},
                                                                          {3, 3, 2, 6, 80},
                                                                          {3, 5, 1, 6, 112},
                                                                          {4, 5, 2, 6, 192},
                                                                          {1, 3, 1, 6, 320}}};

}  // namespace thaw::models
