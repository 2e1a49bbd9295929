// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <opencv2/core.hpp>

#include <vector>

#include <thaw/vision/box.hpp>

namespace thaw::vision {

/// An image with what goes along when it is cropped, turned or resized. Channels are in the order RGB (OpenCV's own
/// functions read BGR).
struct Sample {
  cv::Mat image = {};                       ///< [H, W] of one, three or four channels of bytes, 16 bits, or floats
  cv::Mat mask = {};                        ///< [H, W] bytes, a class for each pixel; or empty
  std::vector<cv::Point2d> keypoints = {};  ///< in pixels; (0, 0) is the middle of the first one
  std::vector<Box> boxes = {};
};

}  // namespace thaw::vision
