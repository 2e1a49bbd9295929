// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace thaw::vision::detail {

[[nodiscard]] inline std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  if (text.empty()) return lines;
  for (std::size_t end = 0; (end = text.find('\n')) != text.npos; text.remove_prefix(end + 1))
    lines.emplace_back(text.substr(0, end));
  lines.emplace_back(text);
  return lines;
}

/// OpenCV's letters are ASCII: one '?' for each other character of UTF-8.
[[nodiscard]] inline std::string ascii(std::string_view text) {
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7F)
      result += c;
    else if ((byte & 0xC0U) != 0x80U)  // not the rest of a character
      result += '?';
  }
  return result;
}

/// Text on images. OpenCV's letters are lines: they are drawn larger and shrunk, so that small ones can be read.
class Lettering {
 public:
  /// `height` of a capital letter, in px.
  explicit Lettering(int height)
      : height_(height), scale_(cv::getFontScaleFromHeight(font, height * finer, thickness)) {}

  /// Height of a line, in px.
  [[nodiscard]] int line() const { return height_ * 7 / 4 + 1; }
  [[nodiscard]] int width(const std::string& text) const {
    int base = 0;
    return (cv::getTextSize(ascii(text), font, scale_, thickness, &base).width + finer - 1) / finer;
  }
  /// The text, or as much of its beginning as fits, with "..".
  [[nodiscard]] std::string cut(std::string_view text, int most) const {
    std::string whole = ascii(text);
    if (width(whole) <= most) return whole;
    while (!whole.empty() && width(whole + "..") > most) whole.pop_back();
    return whole + "..";
  }
  /// Draws a line of text whose upper left corner is at `at`, in a shade from 0 (black) to 255, on an RGB image; what
  /// lies beyond the image is left out.
  void draw(cv::Mat& image, std::string_view text, cv::Point at, int most, double shade) const {
    const std::string words = cut(text, most);
    const cv::Rect place = cv::Rect(at, cv::Size(width(words) + 2, line())) & cv::Rect({}, image.size());
    if (text.empty() || place.empty()) return;
    cv::Mat ink(place.height * finer, place.width * finer, CV_8U, cv::Scalar(0)), small;
    cv::putText(ink, words, {0, (height_ * 5 / 4 + 1) * finer}, font, scale_, cv::Scalar(255), thickness, cv::LINE_AA);
    cv::resize(ink, small, place.size(), 0, 0, cv::INTER_AREA);
    for (int y = 0; y < place.height; ++y)
      for (int x = 0; x < place.width; ++x) {
        auto& pixel = image.at<cv::Vec3b>(place.y + y, place.x + x);
        const double part = small.at<unsigned char>(y, x) / 255.0;
        for (int c = 0; c < 3; ++c) pixel[c] = cv::saturate_cast<unsigned char>(pixel[c] * (1 - part) + shade * part);
      }
  }

 private:
  static constexpr int font = cv::FONT_HERSHEY_SIMPLEX, finer = 4, thickness = 5;

  int height_;
  double scale_;
};

}  // namespace thaw::vision::detail
