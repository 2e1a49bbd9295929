// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/vision/detail/file_format.hpp>
#include <thaw/vision/detail/tiff_tags.hpp>
#include <thaw/vision/detail/whole_jpeg.hpp>

namespace thaw::vision {

/// What the channels of an image are.
enum class Channels : std::int8_t {
  gray = 1,
  rgb = 3,
  rgba = 4,  ///< opaque where the file has no alpha
};

/// Which way up an image is read.
enum class Orientation : std::int8_t {
  upright,  ///< turned as its EXIF says
  stored,   ///< as its pixels lie in the file
};

namespace detail {

inline std::vector<std::uint8_t> bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    throw FileError(path.string(), std::filesystem::exists(path) ? "cannot be opened" : "does not exist",
                    "name an image that can be read");
  try {
    return {std::istreambuf_iterator<char>(file), {}};
  } catch (const std::ios_base::failure&) {
    throw FileError(path.string(), "cannot be read: it is a folder, or on a disk that fails", "name an image file");
  }
}

/// Empty for what OpenCV cannot read; and for DICOM, since the library that reads it ends the program where such a file
/// is damaged.
inline cv::Mat decoded(const std::vector<std::uint8_t>& bytes, int flags) {
  try {
    const cv::Mat image = bytes.empty() || is_dicom(bytes) ? cv::Mat() : cv::imdecode(bytes, flags);
    return image.empty() ? cv::Mat() : image;  // not one that has channels, and no pixels
  } catch (const cv::Exception&) {  // such as more pixels than OpenCV's limit
    return {};
  }
}

/// Bytes, 16 bits or floats: of others, OpenCV cannot change the order of colours.
inline bool has_usual_pixels(const cv::Mat& image) {
  return image.depth() == CV_8U || image.depth() == CV_16U || image.depth() == CV_32F;
}

/// As the pixels are stored. A JPEG may be decoded 2, 4 or 8 times smaller, which takes less time: its blocks of 8 x 8
/// pixels are made smaller ones.
inline cv::Mat decoded(const std::vector<std::uint8_t>& bytes, Channels channels, int reduction = 1) {
  constexpr int as_stored = cv::IMREAD_ANYDEPTH | cv::IMREAD_IGNORE_ORIENTATION;
  cv::Mat image;
  if (reduction > 1) {
    const bool gray = channels == Channels::gray;
    const int half = gray ? cv::IMREAD_REDUCED_GRAYSCALE_2 : cv::IMREAD_REDUCED_COLOR_2;
    const int quarter = gray ? cv::IMREAD_REDUCED_GRAYSCALE_4 : cv::IMREAD_REDUCED_COLOR_4;
    const int eighth = gray ? cv::IMREAD_REDUCED_GRAYSCALE_8 : cv::IMREAD_REDUCED_COLOR_8;
    image = decoded(bytes, (reduction == 2 ? half : reduction == 4 ? quarter : eighth) | cv::IMREAD_IGNORE_ORIENTATION);
    if (!gray && !image.empty()) cv::cvtColor(image, image, cv::COLOR_BGR2RGB);
    return image;
  }
  if (channels == Channels::gray) return decoded(bytes, cv::IMREAD_GRAYSCALE | as_stored);
  if (channels == Channels::rgba) {
    image = decoded(bytes, cv::IMREAD_UNCHANGED);
    if (image.channels() == 4) {
      if (has_usual_pixels(image)) cv::cvtColor(image, image, cv::COLOR_BGRA2RGBA);
      return image;
    }
  }
  image = decoded(bytes, cv::IMREAD_COLOR | as_stored);
  if (image.empty() && TiffTags(bytes).is_tiff()) {  // of floats, say, of which OpenCV makes no colours
    image = decoded(bytes, cv::IMREAD_UNCHANGED);
    if (image.channels() == 1 && !image.empty() && has_usual_pixels(image))
      cv::cvtColor(image, image, cv::COLOR_GRAY2BGR);
  }
  if (!image.empty() && has_usual_pixels(image))
    cv::cvtColor(image, image, channels == Channels::rgba ? cv::COLOR_BGR2RGBA : cv::COLOR_BGR2RGB);
  return image;
}

/// Makes OpenCV read from a TIFF what it holds: colours that are not multiplied by their alpha, four bands as four, and
/// all as stored. Throws FileError for bands that would be left out, and colours that would be others.
inline void prepare_tiff(std::vector<std::uint8_t>& bytes, Channels channels, const std::string& where) {
  using Tag = TiffTags::Tag;
  const TiffTags tags(bytes);
  if (!tags.is_tiff()) return;
  const std::uint64_t kind = tags.value(Tag::photometric, 1), samples = tags.value(Tag::samples, 1);
  if (kind >= 8 && kind <= 10)
    throw FileError(where, "a TIFF in CIE L*a*b*, of whose white OpenCV makes a yellow", "convert it to RGB");
  const bool deep = tags.value(Tag::bits, 1) > 8;
  const std::uint64_t colors = kind == 2 || kind == 6 ? 3 : kind == 5 ? 4 : 1;
  const std::uint64_t alpha = tags.value(Tag::extra_samples, 0);  // 1: colours are multiplied by it, 2: they are not
  const bool has_alpha = samples == colors + 1 && (alpha == 1 || alpha == 2);
  const bool four = samples == 4 && channels == Channels::rgba;
  if (samples > colors && !four && !(has_alpha && (colors == 3 || (!deep && channels != Channels::rgba))))
    throw FileError(where, "a TIFF of " + std::to_string(samples) + " bands, of which some would be left out",
                    "ask for Channels::rgba for four bands, or write those that you need as a TIFF of one or three");
  std::vector<std::uint8_t> copy(bytes);
  tags.set(copy, Tag::orientation, 1);
  if (samples > 1 && alpha == 2) tags.set(copy, Tag::extra_samples, 1);
  if (four && colors == 1) tags.set(copy, Tag::photometric, 2), tags.set(copy, Tag::extra_samples, 0);
  bytes = std::move(copy);
}

/// Throws FileError, naming the file, for what could not be decoded, or not whole.
template <class Decode>
void check_decoded(const std::vector<std::uint8_t>& bytes, const cv::Mat& image, const std::string& where,
                   Decode decode) {
  const std::string drop = "drop_unreadable from the list";
  if (image.empty()) {
    if (holds(bytes, 0, "version https://git-lfs"))
      throw FileError(where, "is a git-lfs pointer, not the image that it stands for",
                      "run `git lfs pull` in its repository");
    const std::string format = format_of(bytes);
    if (!format.empty())
      throw FileError(where, "is " + format + ", which OpenCV " CV_VERSION " cannot read",
                      "convert it to PNG or JPEG, or " + drop);
    throw FileError(where, bytes.empty() ? "is empty" : "is no image that OpenCV can read", "remove it, or " + drop);
  }
  if (!whole_or_no_jpeg(bytes)) throw FileError(where, "is a JPEG that ends too early", "copy it again, or " + drop);
  if (lacks_pixels(bytes, image, decode))
    throw FileError(where, "is a JPEG that lacks a part of its pixels", "copy it again, or " + drop);
}

/// An image and how its file says that its pixels lie, 1 to 8.
struct OrientedImage {
  cv::Mat image;
  int orientation = 1;
};

/// How many times smaller a JPEG of this size may be read, which is given as it is used: turned or not.
using Reduction = std::function<int(cv::Size)>;

inline OrientedImage read_oriented(const std::filesystem::path& path, Channels channels, Orientation orientation,
                                   const Reduction& reduction = {}) {
  std::vector<std::uint8_t> bytes = bytes_of(path);
  OrientedImage read{.image = {}, .orientation = orientation_of(bytes)};
  prepare_tiff(bytes, channels, path.string());
  const PnmMaximum most = pnm_maximum(bytes);
  number_pnm(bytes);
  int times = 1;
  if (cv::Size size = size_of_jpeg(bytes); reduction && !size.empty() && channels != Channels::rgba) {
    if (orientation == Orientation::upright && read.orientation >= 5) std::swap(size.width, size.height);
    times = reduction(size);
  }
  const auto decode = [&](const std::vector<std::uint8_t>& from) { return decoded(from, channels, times); };
  read.image = decode(bytes);
  check_decoded(bytes, read.image, path.string(), decode);
  if (!has_usual_pixels(read.image))
    throw FileError(path.string(), "its pixels are of the type " + cv::typeToString(read.image.type()),
                    "convert it to 8 or 16 bits per channel");
  if (most.value > 0 && most.value != most.full())
    read.image.convertTo(read.image, -1, static_cast<double>(most.full()) / most.value);
  if (orientation == Orientation::upright) read.image = upright(read.image, read.orientation);
  return read;
}

}  // namespace detail

/// Reads an image file of any format that OpenCV knows (JPEG, PNG, TIFF, WebP, BMP, ...): bytes, 16 bits or floats per
/// channel, as the file has them; turned upright as its EXIF says, unless asked for as it is stored. A file is read
/// whole, or not at all: half a JPEG, of which OpenCV would make half an image, is refused, and so is a TIFF of more
/// bands than are asked for (an alpha channel may be left out). Throws FileError, naming the file.
[[nodiscard]] inline cv::Mat read_image(const std::filesystem::path& path, Channels channels = Channels::rgb,
                                        Orientation orientation = Orientation::upright) {
  return detail::read_oriented(path, channels, orientation).image;
}

}  // namespace thaw::vision
