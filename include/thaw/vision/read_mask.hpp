// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>
#include <thaw/vision/detail/file_format.hpp>
#include <thaw/vision/detail/mask_bytes.hpp>
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
  std::map<Color, std::uint8_t> class_of;
  for (std::size_t i = 0; i < colors.size(); ++i) class_of.emplace(colors[i], static_cast<std::uint8_t>(i));
  cv::Mat mask(image.size(), CV_8U);
  for (int y = 0; y < image.rows; ++y) {
    const auto* const row = image.ptr<cv::Vec3b>(y);
    auto* const to = mask.ptr<std::uint8_t>(y);
    for (int x = 0; x < image.cols; ++x) {
      if (x > 0 && row[x] == row[x - 1]) {
        to[x] = to[x - 1];
        continue;
      }
      const auto& [r, g, b] = row[x].val;
      const auto found = class_of.find(Color{r, g, b});
      if (found == class_of.end())
        throw DataError(where,
                        "the colour (" + std::to_string(r) + ", " + std::to_string(g) + ", " + std::to_string(b) +
                            ") at row " + std::to_string(y) + ", column " + std::to_string(x) + " is no class's",
                        "name the colour of each class in mask_colors, in their order");
      to[x] = found->second;
    }
  }
  return mask;
}

/// The numbers as they stand in a file.
struct MaskNumbers {
  cv::Mat numbers;      // [H, W] of CV_32S
  int orientation = 1;  // as its EXIF says
  bool lossy = false;   // values between those that were written may come from compression
};

/// Whole numbers of a mask of floats.
template <class Float>
void check_whole(const cv::Mat& mask, const std::string& where) {
  for (int y = 0; y < mask.rows; ++y)
    for (int x = 0; x < mask.cols; ++x)
      if (const auto value = static_cast<double>(mask.at<Float>(y, x));
          !(std::trunc(value) == value) || std::abs(value) > 1e9)
        throw DataError(where,
                        "a mask with numbers that are not whole: " + thaw::detail::number(value) + " at row " +
                            std::to_string(y) + ", column " + std::to_string(x),
                        "write the classes' numbers");
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

inline bool is_constant(const cv::Mat& channel) {
  double least = 0, most = 0;
  cv::minMaxLoc(channel, &least, &most);
  return least == most;
}

/// The numbers of a mask of one channel, of several that say the same, or of a palette's places.
inline MaskNumbers mask_numbers(const std::filesystem::path& path, Orientation orientation = Orientation::upright) {
  std::vector<std::uint8_t> bytes = bytes_of(path);
  MaskNumbers read{.numbers = {}, .orientation = orientation_of(bytes), .lossy = is_lossy(bytes)};
  prepare_tiff(bytes, Channels::rgb, path.string());
  number_tiff(bytes);
  number_pnm(bytes);
  const PngNumbers png(bytes);
  const auto decode = [](const std::vector<std::uint8_t>& from) { return decoded(from, cv::IMREAD_UNCHANGED); };
  cv::Mat mask = decode(png.palette() ? png.places() : bytes);
  check_decoded(bytes, mask, path.string(), decode);
  if (mask.channels() != 1) {
    std::vector<cv::Mat> channels;
    cv::split(mask, channels);
    for (std::size_t c = 1; c < std::min<std::size_t>(channels.size(), 3); ++c)  // a fourth is alpha
      if (cv::norm(channels[0], channels[c], cv::NORM_INF) != 0)
        throw DataError(path.string(), "a mask of " + std::to_string(mask.channels()) + " channels",
                        "say by mask_colors which colour is which class, or write the classes' numbers");
    mask = channels[0];
    if (channels.size() == 4 && is_constant(mask) && !is_constant(channels[3]))
      throw DataError(path.string(), "a mask of one colour, whose transparency alone differs",
                      "write the classes' numbers as colours, or as gray");
  }
  if (mask.depth() == CV_32F) check_whole<float>(mask, path.string());
  if (mask.depth() == CV_64F) check_whole<double>(mask, path.string());
  mask.convertTo(read.numbers, CV_32S);
  if (png.scale() > 1) read.numbers /= png.scale();
  if (png.palette() && png.disordered(distinct(read.numbers)))
    throw DataError(path.string(), "a mask with a palette of grays that do not rise with their places",
                    "say by mask_colors which gray is which class, or write the classes' numbers");
  if (orientation == Orientation::upright) read.numbers = upright(read.numbers, read.orientation);
  return read;
}

inline std::string listed(const std::vector<int>& values) {
  std::vector<std::string> texts;
  texts.reserve(values.size());
  for (const int value : values) texts.push_back(std::to_string(value));
  return join_names(texts);
}

/// Whether what lossy compression makes of one of these values will not be taken for another.
inline bool far_apart(const std::map<int, int>& class_of) {
  constexpr int least = 32;  // what a JPEG of low quality changes a pixel by at a sharp edge is less, as a rule
  for (auto at = class_of.begin(); at != class_of.end(); ++at)
    if (const auto next = std::next(at); next != class_of.end() && next->first - at->first < least) return false;
  return true;
}

/// Where it has one value alone, nothing was invented.
inline void refuse_lossy(const std::string& where, const std::set<int>& seen) {
  if (seen.size() > 1)
    throw DataError(where,
                    "a mask with the values " + listed({seen.begin(), seen.end()}) +
                        " in a file of lossy compression, which invents values between those that were written",
                    "write masks as PNG, or give mask_values that lie far apart, and mask_nearest");
}

}  // namespace detail

/// Reads a mask: [H, W] bytes, a number for each pixel, as the file has it. A file of one channel (or of several that
/// say the same) holds the classes' numbers; of a palette, its places are the numbers. One of colours (also by a
/// palette) is read by `colors`, which are those of the classes 0, 1, 2, ... Turned upright as its EXIF says, like an
/// image. Throws FileError for a file that cannot be read whole; DataError for a number that is not whole or not in 0
/// to 255, for a colour that is no class's, and for several values in a file of lossy compression, which invents others
/// (see MaskCode::nearest); all name the file.
[[nodiscard]] inline cv::Mat read_mask(const std::filesystem::path& path, const std::vector<Color>& colors = {},
                                       Orientation orientation = Orientation::upright) {
  if (!colors.empty()) {
    const cv::Mat image = read_image(path, Channels::rgb, orientation);
    if (image.depth() != CV_8U || colors.size() > 256)
      throw DataError(path.string(), "colours of 16 bits, or more than 256 of them", "give a mask of 8 bits");
    return detail::classes_of_colors(image, colors, path.string());
  }
  auto [mask, turned, lossy] = detail::mask_numbers(path, orientation);
  if (lossy) detail::refuse_lossy(path.string(), detail::distinct(mask));
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

namespace detail {

/// A mask read by a code, and how its file says that its pixels lie.
inline OrientedImage read_oriented_mask(const std::filesystem::path& path, const MaskCode& code, std::int64_t classes,
                                        Orientation orientation) {
  MaskNumbers read;
  if (code.colors.empty()) {
    read = mask_numbers(path, orientation);
  } else {
    read_mask(path, code.colors, orientation).convertTo(read.numbers, CV_32S);
    read.orientation = orientation_of(bytes_of(path));
  }
  const cv::Mat& numbers = read.numbers;

  std::map<int, int> class_of;
  if (code.values.empty())
    for (int c = 0; c < classes; ++c) class_of.emplace(c, c);
  for (std::size_t c = 0; c < code.values.size(); ++c) class_of.emplace(code.values[c], static_cast<int>(c));
  if (code.ignore) class_of[*code.ignore] = 255;

  const std::set<int> seen = distinct(numbers);
  if (read.lossy && !code.nearest && !far_apart(class_of)) refuse_lossy(path.string(), seen);
  std::vector<int> unknown;
  std::map<int, std::uint8_t> read_as;
  for (const int value : seen) {
    auto found = class_of.find(value);
    if (found == class_of.end() && code.nearest && value >= 0)
      found = std::ranges::min_element(class_of, {}, [&](const auto& each) { return std::abs(each.first - value); });
    if (found == class_of.end())
      unknown.push_back(value);
    else
      read_as.emplace(value, static_cast<std::uint8_t>(found->second));
  }
  if (!unknown.empty())
    throw DataError(path.string(),
                    "a mask with the values " + listed({seen.begin(), seen.end()}) + ", and " +
                        (code.values.empty() ? "there are " + std::to_string(classes) + " classes"
                                             : "mask_values are " + listed(code.values)),
                    mask_fix(seen, unknown, code, classes));
  cv::Mat mask(numbers.size(), CV_8U);
  for (int y = 0; y < mask.rows; ++y) {
    const int* from = numbers.ptr<int>(y);
    auto* to = mask.ptr<std::uint8_t>(y);
    for (int x = 0; x < mask.cols; ++x) to[x] = x > 0 && from[x] == from[x - 1] ? to[x - 1] : read_as.at(from[x]);
  }
  return {.image = mask, .orientation = read.orientation};
}

}  // namespace detail

/// Reads a mask by a code: [H, W] bytes, each a class below `classes`, or 255 for what is to be ignored. Throws as the
/// other, and DataError for a value that is no class's, naming the file, the values that it has, and the remedy; for a
/// file of lossy compression where what it invents could be another class's value.
[[nodiscard]] inline cv::Mat read_mask(const std::filesystem::path& path, const MaskCode& code, std::int64_t classes,
                                       Orientation orientation = Orientation::upright) {
  return detail::read_oriented_mask(path, code, classes, orientation).image;
}

}  // namespace thaw::vision
