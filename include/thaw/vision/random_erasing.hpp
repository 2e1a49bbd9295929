// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <opencv2/core.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <thaw/vision/random.hpp>

namespace thaw::vision {

/// Fills rectangles with one colour, so that no part of a thing is needed to know it ("cutout"): up to `max_count`,
/// each of an area between `min_area` and `max_area` of the image over their number, its proportions between min_aspect
/// and 1 / min_aspect; parts beyond the edge are cut off. Source: fastai's RandomErasing, which fills with noise (Zhong
/// et al. 2017; DeVries and Taylor 2017 fill with a constant).
struct RandomErasing {
  double p = 0.5;
  double min_area = 0, max_area = 0.3;
  double min_aspect = 0.3;
  int max_count = 1;
  cv::Scalar color = {124, 116, 104, 255};  ///< as the image's pixels are: by default ImageNet's mean, in bytes

  void operator()(cv::Mat& image, Random& random) const {
    if (!random.chance(p)) return;
    const std::int64_t count = 1 + random.below(max_count);
    image = image.clone();  // pixels may be shared
    for (std::int64_t i = 0; i < count; ++i) image(choose(image.size(), count, random)).setTo(color);
  }

  /// Which rectangle it fills, of so many.
  [[nodiscard]] cv::Rect choose(cv::Size size, std::int64_t count, Random& random) const {
    const double area = random.uniform(min_area, max_area) * size.width * size.height / static_cast<double>(count);
    const double aspect = random.log_uniform(min_aspect, 1 / min_aspect);
    const auto side = [&](double length, int whole) {
      const auto half = static_cast<int>(std::lround(std::sqrt(length) / 2));
      const auto middle = static_cast<int>(random.below(whole));
      return cv::Range(std::max(middle - half, 0), std::min(middle + half, whole));
    };
    const cv::Range rows = side(area * aspect, size.height), columns = side(area / aspect, size.width);
    return {columns.start, rows.start, columns.size(), rows.size()};
  }
};

}  // namespace thaw::vision
