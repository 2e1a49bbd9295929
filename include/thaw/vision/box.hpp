// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

namespace thaw::vision {

/// A bounding box: its edges, in pixels from the image's left and upper edge, so that an image as a whole is
/// (0, 0, width, height); and the class of what is in it. As torchvision's XYXY, and Pascal VOC's from 0.
struct Box {
  double x1 = 0, y1 = 0, x2 = 0, y2 = 0;
  std::int64_t label = 0;
};

}  // namespace thaw::vision
