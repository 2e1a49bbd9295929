// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <opencv2/core.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <thaw/vision/random.hpp>
#include <thaw/vision/warp.hpp>

namespace thaw::vision {

/// How an image of another shape becomes one of a given size.
enum class Fit : std::int8_t {
  crop,     ///< the shorter side fits, what is too much of the longer one is cut off, as much at both ends
  squish,   ///< both sides fit, proportions are lost
  pad,      ///< the longer side fits, what is missing of the shorter one is filled ("letterbox")
  shorter,  ///< the shorter side fits, the longer one is as long as it comes: sizes differ
};

/// Brings images to `size` pixels, square unless `width` is given. Averages pixels where it shrinks.
struct Resize {
  int size = 224;  ///< height, and width
  Fit fit = Fit::crop;
  int width = 0;                   ///< 0: as `size`
  Beyond beyond = Beyond::color;   ///< what `pad` fills with
  cv::Scalar color = {};           ///< as the image's pixels are
  std::uint8_t mask_beyond = 255;  ///< the class of what `pad` fills a mask with

  /// How many times smaller it makes an image.
  [[nodiscard]] double shrink(cv::Size from) const {
    const double x = static_cast<double>(from.width) / (width == 0 ? size : width);
    const double y = static_cast<double>(from.height) / size;
    return fit == Fit::pad ? std::max(x, y) : std::min(x, y);
  }

  [[nodiscard]] Warp operator()(cv::Size from, Random&) const {
    const cv::Size to(width == 0 ? size : width, size);
    double x = static_cast<double>(to.width) / from.width, y = static_cast<double>(to.height) / from.height;
    if (fit == Fit::squish) return {.matrix = scaling(x, y), .size = to};
    x = y = fit == Fit::pad ? std::min(x, y) : std::max(x, y);
    // whole pixels, so that nothing beyond the edge is mixed in
    const cv::Size scaled(std::max(1, static_cast<int>(std::lround(from.width * x))),
                          std::max(1, static_cast<int>(std::lround(from.height * y))));
    const cv::Matx33d scale =
        scaling(static_cast<double>(scaled.width) / from.width, static_cast<double>(scaled.height) / from.height);
    if (fit == Fit::shorter) return {.matrix = scale, .size = scaled};
    const auto half = [](int room) { return std::floor(room / 2.0); };
    Warp warp{.matrix = translation(half(to.width - scaled.width), half(to.height - scaled.height)) * scale,
              .size = to};
    if (fit == Fit::pad) warp.beyond = beyond, warp.color = color, warp.mask_beyond = mask_beyond;
    return warp;
  }
};

/// The middle of an image, `size` pixels square unless `width` is given.
struct CenterCrop {
  int size = 224;
  int width = 0;

  [[nodiscard]] double zoom() const { return 1; }

  [[nodiscard]] Warp operator()(cv::Size from, Random&) const {
    const cv::Size to(width == 0 ? size : width, size);
    return {
        .matrix = translation(-std::floor((from.width - to.width) / 2.0), -std::floor((from.height - to.height) / 2.0)),
        .size = to};
  }
};

/// A random part of an image, brought to `size` pixels square: of an area between `min_scale` and `max_scale` of the
/// whole, its sides in a proportion between `min_ratio` and `max_ratio` (drawn by their logarithm); after ten draws
/// that do not fit, the middle. Source: torchvision's and fastai's RandomResizedCrop (Szegedy et al. 2015).
struct RandomResizedCrop {
  int size = 224;
  double min_scale = 0.08, max_scale = 1;
  double min_ratio = 3.0 / 4, max_ratio = 4.0 / 3;

  [[nodiscard]] double zoom() const { return 1 / std::sqrt(min_scale); }

  [[nodiscard]] Warp operator()(cv::Size from, Random& random) const {
    const cv::Rect part = choose(from, random);
    return {.matrix = scaling(static_cast<double>(size) / part.width, static_cast<double>(size) / part.height) *
                      translation(-part.x, -part.y),
            .size = {size, size}};
  }

  /// Which part of an image it takes.
  [[nodiscard]] cv::Rect choose(cv::Size from, Random& random) const {
    const double area = static_cast<double>(from.width) * from.height;
    for (int attempt = 0; attempt < 10; ++attempt) {
      const double target = area * random.uniform(min_scale, max_scale);
      const double ratio = random.log_uniform(min_ratio, max_ratio);
      const int w = static_cast<int>(std::lround(std::sqrt(target * ratio)));
      const int h = static_cast<int>(std::lround(std::sqrt(target / ratio)));
      if (w > 0 && h > 0 && w <= from.width && h <= from.height)
        return {static_cast<int>(random.below(from.width - w + 1)), static_cast<int>(random.below(from.height - h + 1)),
                w, h};
    }
    const double ratio = std::clamp(static_cast<double>(from.width) / from.height, min_ratio, max_ratio);
    const int w = std::min(from.width, static_cast<int>(std::lround(from.height * ratio)));
    const int h = std::min(from.height, static_cast<int>(std::lround(from.width / ratio)));
    return {(from.width - w) / 2, (from.height - h) / 2, w, h};
  }
};

/// A random part of an image of `size` pixels square, all of its pixels as they are; what is missing of a smaller one
/// is filled as `beyond` says.
struct RandomCrop {
  int size = 224;
  int padding = 0;  ///< pixels that the part may lie beyond each edge
  Beyond beyond = Beyond::mirrored;
  cv::Scalar color = {};
  std::uint8_t mask_beyond = 255;

  [[nodiscard]] double zoom() const { return 1; }
  [[nodiscard]] Warp operator()(cv::Size from, Random& random) const {
    const auto offset = [&](int length) {
      const int room = length + 2 * padding - size;
      return room < 0 ? std::floor(room / 2.0) : static_cast<double>(random.below(room + 1) - padding);
    };
    const double x = offset(from.width), y = offset(from.height);
    return {.matrix = translation(-x, -y),
            .size = {size, size},
            .beyond = beyond,
            .color = color,
            .mask_beyond = mask_beyond};
  }
};

}  // namespace thaw::vision
