// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include <array>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

#include <thaw/vision/random.hpp>
#include <thaw/vision/warp.hpp>

namespace thaw::vision {

/// Left becomes right. Keypoints keep their numbers: where number 0 is a left eye and 1 a right one, do not flip.
struct Flip {
  double p = 0.5;

  [[nodiscard]] double zoom() const { return 1; }
  [[nodiscard]] Warp operator()(cv::Size size, Random& random) const {
    if (!random.chance(p)) return {.size = size};
    return {.matrix = about_middle(cv::Matx33d::diag({-1, 1, 1}), size), .size = size};
  }
};

/// Up becomes down.
struct FlipVertical {
  double p = 0.5;

  [[nodiscard]] double zoom() const { return 1; }
  [[nodiscard]] Warp operator()(cv::Size size, Random& random) const {
    if (!random.chance(p)) return {.size = size};
    return {.matrix = about_middle(cv::Matx33d::diag({1, -1, 1}), size), .size = size};
  }
};

/// One of the eight ways to lay a square on a square: for pictures without an up, from above or through a microscope.
struct Dihedral {
  double p = 1;

  [[nodiscard]] double zoom() const { return 1; }
  [[nodiscard]] Warp operator()(cv::Size size, Random& random) const {
    if (!random.chance(p)) return {.size = size};
    const std::int64_t way = random.below(8);
    const double x = (way & 1) != 0 ? -1 : 1, y = (way & 2) != 0 ? -1 : 1;
    const bool transposed = (way & 4) != 0;
    const cv::Size to = transposed ? cv::Size(size.height, size.width) : size;
    const cv::Matx33d turn = transposed ? cv::Matx33d(0, x, 0, y, 0, 0, 0, 0, 1) : cv::Matx33d::diag({x, y, 1});
    return {.matrix = translation((to.width - 1) / 2.0, (to.height - 1) / 2.0) * turn *
                      translation(-(size.width - 1) / 2.0, -(size.height - 1) / 2.0),
            .size = to};
  }
};

/// Turns about the middle, by up to `max_degrees` either way.
struct Rotate {
  double max_degrees = 10;
  double p = 0.75;
  Beyond beyond = Beyond::mirrored;
  cv::Scalar color = {};

  [[nodiscard]] double zoom() const { return 1; }
  [[nodiscard]] Warp operator()(cv::Size size, Random& random) const {
    if (!random.chance(p)) return {.size = size};
    const double angle = random.uniform(-max_degrees, max_degrees) * std::numbers::pi / 180;
    const double c = std::cos(angle), s = std::sin(angle);
    return {.matrix = about_middle({c, -s, 0, s, c, 0, 0, 0, 1}, size), .size = size, .beyond = beyond, .color = color};
  }
};

/// Enlarges about a random point, by a factor between `min` and `max`; below 1 it shrinks.
struct Zoom {
  double min = 1, max = 1.1;
  double p = 0.75;
  Beyond beyond = Beyond::mirrored;
  cv::Scalar color = {};

  [[nodiscard]] double zoom() const { return std::max(1.0, max); }
  [[nodiscard]] Warp operator()(cv::Size size, Random& random) const {
    if (!random.chance(p)) return {.size = size};
    const double s = random.uniform(min, max);
    const double x = random.uniform() * (size.width - 1), y = random.uniform() * (size.height - 1);
    return {.matrix = translation(x, y) * cv::Matx33d::diag({s, s, 1}) * translation(-x, -y),
            .size = size,
            .beyond = beyond,
            .color = color};
  }
};

/// Moves, by up to so many widths and heights; shears, by up to so many degrees.
struct Affine {
  double max_shift = 0.1;
  double max_shear = 0;
  double p = 0.75;
  Beyond beyond = Beyond::mirrored;
  cv::Scalar color = {};

  [[nodiscard]] Warp operator()(cv::Size size, Random& random) const {
    if (!random.chance(p)) return {.size = size};
    const auto draw = [&](double most) { return random.uniform(-most, most); };
    const double x = draw(max_shift) * size.width, y = draw(max_shift) * size.height;
    const double shear = std::tan(draw(max_shear) * std::numbers::pi / 180);
    return {.matrix = translation(x, y) * about_middle({1, shear, 0, 0, 1, 0, 0, 0, 1}, size),
            .size = size,
            .beyond = beyond,
            .color = color};
  }
};

/// As if seen from another place: corners move by up to `magnitude` half widths and heights. Source: fastai's Warp.
struct Perspective {
  double magnitude = 0.2;
  double p = 0.75;
  Beyond beyond = Beyond::mirrored;
  cv::Scalar color = {};

  [[nodiscard]] double zoom() const { return 1 + magnitude; }
  [[nodiscard]] Warp operator()(cv::Size size, Random& random) const {
    if (!random.chance(p)) return {.size = size};
    const double x = random.uniform(-magnitude, magnitude), y = random.uniform(-magnitude, magnitude);
    return {.matrix = matrix(size, x, y), .size = size, .beyond = beyond, .color = color};
  }

  /// Where pixels go when the view is x and y off. Of an image that reaches from -1 to 1, the corners come to lie at
  /// (-1 - y, -1 - x), (1 + y, -1 + x), (-1 + y, 1 + x) and (1 - y, 1 - x).
  [[nodiscard]] static cv::Matx33d matrix(cv::Size size, double x, double y) {
    const double w = (size.width - 1) / 2.0, h = (size.height - 1) / 2.0;
    const auto corner = [&](double u, double v) {
      return cv::Point2f(static_cast<float>(w * (1 + u)), static_cast<float>(h * (1 + v)));
    };
    const std::array from{corner(-1, -1), corner(1, -1), corner(-1, 1), corner(1, 1)};
    const std::array to{corner(-1 - y, -1 - x), corner(1 + y, -1 + x), corner(-1 + y, 1 + x), corner(1 - y, 1 - x)};
    return cv::getPerspectiveTransform(from.data(), to.data());
  }
};

}  // namespace thaw::vision
