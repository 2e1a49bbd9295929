#pragma once

#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/vision/read_image.hpp>

namespace thaw::vision {

/// Red, green, blue.
using Color = std::array<std::uint8_t, 3>;

/// The colours of Pascal VOC's classes 0, 1, 2, ...: the bits of the class, spread over the highest bits of the
/// channels. Source: VOCdevkit, VOClabelcolormap.m. Class 255 (between objects) is (224, 224, 192).
[[nodiscard]] inline std::vector<Color> voc_colors() {
  std::vector<Color> colors(256);
  for (std::size_t i = 0; i < colors.size(); ++i)
    for (std::size_t bit = 0; bit < 8; ++bit)
      if ((i >> bit & 1) != 0) colors[i][bit % 3] = static_cast<std::uint8_t>(colors[i][bit % 3] | 0x80U >> bit / 3);
  return colors;
}

namespace detail {

inline cv::Mat classes_of_colors(const cv::Mat& image, const std::vector<Color>& colors, const std::string& where) {
  std::vector<std::int16_t> class_of(std::size_t{1} << 24, -1);  // of each colour
  const auto key = [](std::uint8_t r, std::uint8_t g, std::uint8_t b) {
    return std::size_t{r} << 16 | std::size_t{g} << 8 | b;
  };
  for (std::size_t i = colors.size(); i-- > 0;)
    class_of[key(colors[i][0], colors[i][1], colors[i][2])] = static_cast<std::int16_t>(i);
  cv::Mat mask(image.size(), CV_8U);
  for (int y = 0; y < image.rows; ++y)
    for (int x = 0; x < image.cols; ++x) {
      const auto& [r, g, b] = image.at<cv::Vec3b>(y, x).val;
      const std::int16_t found = class_of[key(r, g, b)];
      if (found < 0)
        throw DataError(where,
                        "the colour (" + std::to_string(r) + ", " + std::to_string(g) + ", " + std::to_string(b) +
                            ") at row " + std::to_string(y) + ", column " + std::to_string(x) + " is no class's",
                        "name the colour of each class in mask_colors, in their order");
      mask.at<std::uint8_t>(y, x) = static_cast<std::uint8_t>(found);
    }
  return mask;
}

}  // namespace detail

/// Reads a mask: [H, W] bytes, a class for each pixel. A file of one channel holds the classes' numbers; one of colours
/// (also by a palette) is read by `colors`, which are those of the classes 0, 1, 2, ... Throws FileError for a file
/// that cannot be read, DataError for a number above 255 and a colour that is no class's; both name the file.
[[nodiscard]] inline cv::Mat read_mask(const std::filesystem::path& path, const std::vector<Color>& colors = {}) {
  if (!colors.empty()) {
    const cv::Mat image = read_image(path);
    if (image.depth() != CV_8U || colors.size() > 256)
      throw DataError(path.string(), "colours of 16 bits, or more than 256 of them", "give a mask of 8 bits");
    return detail::classes_of_colors(image, colors, path.string());
  }
  cv::Mat mask = detail::decoded(detail::bytes_of(path), cv::IMREAD_UNCHANGED);
  if (mask.empty()) throw FileError(path.string(), "is no image that OpenCV can read", "write masks as PNG");
  if (mask.channels() != 1)
    throw DataError(path.string(), "a mask of " + std::to_string(mask.channels()) + " channels",
                    "say by mask_colors which colour is which class, or write the classes' numbers");
  double most = 0;
  cv::minMaxLoc(mask, nullptr, &most);
  if (most > 255)
    throw DataError(path.string(), "the class " + thaw::detail::number(most) + " in a mask",
                    "number classes from 0 to 255");
  mask.convertTo(mask, CV_8U);
  return mask;
}

}  // namespace thaw::vision
