#pragma once

#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>
#include <thaw/vision/detail/whole_jpeg.hpp>
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

/// The numbers of a mask of one channel, or of several that say the same, [H, W] of CV_32S.
inline cv::Mat mask_numbers(const std::filesystem::path& path) {
  const std::vector<std::uint8_t> bytes = bytes_of(path);
  cv::Mat mask = decoded(bytes, cv::IMREAD_UNCHANGED);
  if (mask.empty()) throw FileError(path.string(), "is no image that OpenCV can read", "write masks as PNG");
  if (!whole_or_no_jpeg(bytes)) throw FileError(path.string(), "is a JPEG that ends too early", "copy it again");
  if (mask.channels() != 1) {
    std::vector<cv::Mat> channels;
    cv::split(mask, channels);
    for (std::size_t c = 1; c < std::min<std::size_t>(channels.size(), 3); ++c)  // a fourth is alpha
      if (cv::norm(channels[0], channels[c], cv::NORM_INF) != 0)
        throw DataError(path.string(), "a mask of " + std::to_string(mask.channels()) + " channels",
                        "say by mask_colors which colour is which class, or write the classes' numbers");
    mask = channels[0];
  }
  cv::Mat numbers;
  mask.convertTo(numbers, CV_32S);
  if (mask.depth() == CV_32F || mask.depth() == CV_64F) {
    cv::Mat rounded;
    numbers.convertTo(rounded, mask.depth());
    if (!(cv::norm(mask, rounded, cv::NORM_INF) == 0))
      throw DataError(path.string(), "a mask with numbers that are not whole", "write the classes' numbers");
  }
  return numbers;
}

inline std::set<int> distinct(const cv::Mat& numbers) {
  std::set<int> values;
  for (int y = 0; y < numbers.rows; ++y) {
    const int* row = numbers.ptr<int>(y);
    for (int x = 0; x < numbers.cols; ++x)
      if (x == 0 || row[x] != row[x - 1]) values.insert(row[x]);
  }
  return values;
}

inline std::string listed(const std::vector<int>& values) {
  std::vector<std::string> texts;
  texts.reserve(values.size());
  for (const int value : values) texts.push_back(std::to_string(value));
  return join_names(texts);
}

}  // namespace detail

/// Reads a mask: [H, W] bytes, a number for each pixel, as the file has it. A file of one channel (or of several that
/// say the same) holds the classes' numbers; one of colours (also by a palette) is read by `colors`, which are those of
/// the classes 0, 1, 2, ... Throws FileError for a file that cannot be read, DataError for a number that is not in 0 to
/// 255 and a colour that is no class's; both name the file.
[[nodiscard]] inline cv::Mat read_mask(const std::filesystem::path& path, const std::vector<Color>& colors = {}) {
  if (!colors.empty()) {
    const cv::Mat image = read_image(path);
    if (image.depth() != CV_8U || colors.size() > 256)
      throw DataError(path.string(), "colours of 16 bits, or more than 256 of them", "give a mask of 8 bits");
    return detail::classes_of_colors(image, colors, path.string());
  }
  cv::Mat mask = detail::mask_numbers(path);
  double least = 0, most = 0;
  cv::minMaxLoc(mask, &least, &most);
  if (least < 0 || most > 255)
    throw DataError(path.string(), "the class " + thaw::detail::number(least < 0 ? least : most) + " in a mask",
                    "number classes from 0 to 255, or say by mask_values which number is which class");
  mask.convertTo(mask, CV_8U);
  return mask;
}

/// How the pixels of mask files say their class.
struct MaskCode {
  std::vector<Color> colors = {};  ///< of masks that are written in colours: that of each class
  std::vector<int> values = {};    ///< of masks in numbers: that of each class, as {0, 255}; if empty 0, 1, 2, ...
  std::optional<int> ignore =
      {};  ///< of pixels that count for no class (with `colors`, their place there); read as 255
  bool nearest =
      false;  ///< a number between those of the classes, as in a JPEG, is taken for the nearest; else refused

  /// Throws ConfigError where it does not fit so many classes.
  void check(const std::string& where, std::int64_t classes) const {
    const std::set<int> distinct(values.begin(), values.end());
    const auto require = [&](bool holds, const std::string& problem, const char* fix) {
      if (!holds) throw ConfigError(where, problem, fix);
    };
    require(classes <= 255, std::to_string(classes) + " classes of masks", "have no more than 255: one is a byte");
    require(values.empty() || colors.empty(), "both mask_values and mask_colors", "give one of them");
    require(values.empty() || std::ssize(values) == classes,
            std::to_string(values.size()) + " mask_values and " + std::to_string(classes) + " classes",
            "give one value for each class, in their order");
    require(distinct.size() == values.size(), "mask_values " + detail::listed(values) + " has a value twice",
            "give each class a value of its own");
    require(distinct.empty() || (*distinct.begin() >= 0 && *distinct.rbegin() <= 65535),
            "mask_values are " + detail::listed(values), "give values from 0 to 65535, which files can hold");
    require(!ignore || (*ignore >= 0 && *ignore <= 65535 && !distinct.contains(*ignore)),
            "mask_ignore is " + std::to_string(ignore.value_or(0)), "give a value of a file that is no class's");
    require(!nearest || !values.empty(), "mask_nearest without mask_values", "give the value of each class");
  }
};

namespace detail {

/// What to do about a mask with these values.
inline std::string mask_fix(const std::set<int>& seen, const std::vector<int>& unknown, const MaskCode& code,
                            std::int64_t classes) {
  if (std::ssize(seen) > classes + 1)
    return "values between those of the classes come from a lossy file or a resize: write masks as PNG, or give "
           "mask_values and mask_nearest";
  std::string fix = "say which value is which class by mask_values";
  if (std::ssize(seen) == classes) fix += " = {" + listed({seen.begin(), seen.end()}) + "}";
  if (std::ssize(seen) < classes && classes == 2) fix += ", as {0, " + std::to_string(*seen.rbegin()) + "}";
  if (!code.colors.empty()) fix = "give each class a colour in mask_colors";
  if (unknown.size() == 1 && !code.ignore)
    fix += "; or mask_ignore = " + std::to_string(unknown[0]) + " if such pixels count for no class";
  return fix;
}

}  // namespace detail

/// Reads a mask by a code: [H, W] bytes, each a class below `classes`, or 255 for what is to be ignored. Throws as the
/// other, and DataError for a value that is no class's, naming the file, the values that it has, and the remedy.
[[nodiscard]] inline cv::Mat read_mask(const std::filesystem::path& path, const MaskCode& code, std::int64_t classes) {
  cv::Mat numbers;
  if (code.colors.empty())
    numbers = detail::mask_numbers(path);
  else
    read_mask(path, code.colors).convertTo(numbers, CV_32S);

  std::map<int, int> class_of;
  if (code.values.empty())
    for (int c = 0; c < classes; ++c) class_of.emplace(c, c);
  for (std::size_t c = 0; c < code.values.size(); ++c) class_of.emplace(code.values[c], static_cast<int>(c));
  if (code.ignore) class_of[*code.ignore] = 255;

  const std::set<int> seen = detail::distinct(numbers);
  std::vector<int> unknown;
  std::map<int, std::uint8_t> read_as;
  for (const int value : seen) {
    auto found = class_of.find(value);
    if (found == class_of.end() && code.nearest)
      found = std::ranges::min_element(class_of, {}, [&](const auto& each) { return std::abs(each.first - value); });
    if (found == class_of.end())
      unknown.push_back(value);
    else
      read_as.emplace(value, static_cast<std::uint8_t>(found->second));
  }
  if (!unknown.empty())
    throw DataError(path.string(),
                    "a mask with the values " + detail::listed({seen.begin(), seen.end()}) + ", and " +
                        (code.values.empty() ? "there are " + std::to_string(classes) + " classes"
                                             : "mask_values are " + detail::listed(code.values)),
                    detail::mask_fix(seen, unknown, code, classes));
  cv::Mat mask(numbers.size(), CV_8U);
  for (int y = 0; y < mask.rows; ++y) {
    const int* from = numbers.ptr<int>(y);
    auto* to = mask.ptr<std::uint8_t>(y);
    for (int x = 0; x < mask.cols; ++x) to[x] = x > 0 && from[x] == from[x - 1] ? to[x - 1] : read_as.at(from[x]);
  }
  return mask;
}

}  // namespace thaw::vision
