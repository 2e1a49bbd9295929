// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace thaw::vision::detail {

/// What stands for 1 in pixels of this depth.
[[nodiscard]] inline double largest(int depth) {
  return depth == CV_8U ? 255 : depth == CV_16U ? 65535 : 1;
}

/// Kept off 0 and 1, where they are infinite; as fastai has it.
[[nodiscard]] inline double logit(double v) {
  v = std::clamp(v, 1e-7, 1 - 1e-7);
  return -std::log(1 / v - 1);
}
[[nodiscard]] inline double sigmoid(double v) {
  return 1 / (1 + std::exp(-v));
}

/// Calls `change(colors)` with the red, green and blue of an image; alpha stays as it is, and gray has none.
template <class Change>
void change_colors(cv::Mat& image, Change change) {
  if (image.channels() == 3) {
    cv::Mat colors = image.clone();  // pixels may be shared
    change(colors);
    image = colors;
  } else if (image.channels() == 4) {
    std::array<cv::Mat, 4> planes;
    cv::split(image, planes.data());
    cv::Mat colors;
    cv::merge(planes.data(), 3, colors);
    change(colors);
    cv::split(colors, planes.data());
    cv::Mat all;
    cv::merge(planes.data(), planes.size(), all);
    image = all;
  }
}

template <class Value, class Map>
void map_integers(cv::Mat& colors, Map map) {
  constexpr double most = std::numeric_limits<Value>::max();
  std::vector<Value> table(static_cast<std::size_t>(most) + 1);
  for (std::size_t i = 0; i < table.size(); ++i)
    table[i] = cv::saturate_cast<Value>(map(static_cast<double>(i) / most) * most);
  for (int y = 0; y < colors.rows; ++y) {
    auto* row = colors.ptr<Value>(y);
    std::transform(row, row + std::ptrdiff_t{colors.cols} * colors.channels(), row, [&](Value v) { return table[v]; });
  }
}

/// Another value for each, as `map` of [0, 1] says; cut off at both ends, alpha as it is.
template <class Map>
void map_values(cv::Mat& image, Map map) {
  const auto change = [&](cv::Mat& colors) {
    if (colors.depth() == CV_8U)
      map_integers<std::uint8_t>(colors, map);
    else if (colors.depth() == CV_16U)
      map_integers<std::uint16_t>(colors, map);
    else
      for (int y = 0; y < colors.rows; ++y) {
        auto* row = colors.ptr<float>(y);
        std::transform(row, row + std::ptrdiff_t{colors.cols} * colors.channels(), row,
                       [&](float v) { return static_cast<float>(std::clamp(map(static_cast<double>(v)), 0.0, 1.0)); });
      }
  };
  if (image.channels() == 1)
    change(image = image.clone());
  else
    change_colors(image, change);
}

/// [H, W], the colours weighted as the eye does (ITU-R BT.601).
[[nodiscard]] inline cv::Mat gray(const cv::Mat& image) {
  if (image.channels() == 1) return image;
  cv::Mat result;
  cv::cvtColor(image, result, image.channels() == 4 ? cv::COLOR_RGBA2GRAY : cv::COLOR_RGB2GRAY);
  return result;
}

}  // namespace thaw::vision::detail
