// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "support/folder.hpp"

namespace thaw::test {

/// [H, W] of three channels, RGB, no two pixels alike (up to 64 x 64).
inline cv::Mat picture(int height, int width) {
  cv::Mat image(height, width, CV_8UC3);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      image.at<cv::Vec3b>(y, x) = {static_cast<std::uint8_t>(4 * x), static_cast<std::uint8_t>(4 * y),
                                   static_cast<std::uint8_t>((7 * x + 11 * y) % 256)};
  return image;
}

/// All one colour.
inline cv::Mat plain(int height, int width, const cv::Scalar& color, int type = CV_8UC3) {
  return {height, width, type, color};
}

inline bool same(const cv::Mat& a, const cv::Mat& b) {
  return a.size() == b.size() && a.type() == b.type() && cv::norm(a, b, cv::NORM_INF) == 0;
}

inline double farthest(const cv::Mat& a, const cv::Mat& b) {
  return cv::norm(a, b, cv::NORM_INF);
}

inline void write_text(const std::filesystem::path& path, std::string_view text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

/// As OpenCV writes it: its channels are BGR.
inline void write_as_it_is(const cv::Mat& image, const std::filesystem::path& path) {
  std::filesystem::create_directories(path.parent_path());
  cv::imwrite(path.string(), image);
}

}  // namespace thaw::test
