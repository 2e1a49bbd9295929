#pragma once

#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/vision/detail/whole_jpeg.hpp>

namespace thaw::vision {

/// What the channels of an image are.
enum class Channels : std::int8_t {
  gray = 1,
  rgb = 3,
  rgba = 4,  ///< opaque where the file has no alpha
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

/// Empty for what OpenCV cannot read.
inline cv::Mat decoded(const std::vector<std::uint8_t>& bytes, int flags) {
  try {
    return bytes.empty() ? cv::Mat() : cv::imdecode(bytes, flags);
  } catch (const cv::Exception&) {  // such as more pixels than OpenCV's limit
    return {};
  }
}

/// Bytes, 16 bits or floats: of others, OpenCV cannot change the order of colours.
inline bool has_usual_pixels(const cv::Mat& image) {
  return image.depth() == CV_8U || image.depth() == CV_16U || image.depth() == CV_32F;
}

/// OpenCV turns an image as its EXIF says, unless asked for its alpha.
inline cv::Mat decoded(const std::vector<std::uint8_t>& bytes, Channels channels) {
  cv::Mat image;
  if (channels == Channels::gray) return decoded(bytes, cv::IMREAD_GRAYSCALE | cv::IMREAD_ANYDEPTH);
  if (channels == Channels::rgba) {
    image = decoded(bytes, cv::IMREAD_UNCHANGED);
    if (image.channels() == 4) {
      if (has_usual_pixels(image)) cv::cvtColor(image, image, cv::COLOR_BGRA2RGBA);
      return image;
    }
  }
  image = decoded(bytes, cv::IMREAD_COLOR | cv::IMREAD_ANYDEPTH);
  if (!image.empty() && has_usual_pixels(image))
    cv::cvtColor(image, image, channels == Channels::rgba ? cv::COLOR_BGR2RGBA : cv::COLOR_BGR2RGB);
  return image;
}

}  // namespace detail

/// Reads an image file of any format that OpenCV knows (JPEG, PNG, TIFF, WebP, BMP, ...): bytes, 16 bits or floats per
/// channel, as the file has them; turned upright as its EXIF says. A file is read whole, or not at all: half a JPEG,
/// of which OpenCV would make half an image, is refused. Throws FileError, naming the file.
[[nodiscard]] inline cv::Mat read_image(const std::filesystem::path& path, Channels channels = Channels::rgb) {
  const std::vector<std::uint8_t> bytes = detail::bytes_of(path);
  cv::Mat image = detail::decoded(bytes, channels);
  if (image.empty())
    throw FileError(path.string(), bytes.empty() ? "is empty" : "is no image that OpenCV can read",
                    "remove it, or drop_unreadable from the list");
  if (!detail::whole_or_no_jpeg(bytes))
    throw FileError(path.string(), "is a JPEG that ends too early", "copy it again, or drop_unreadable from the list");
  if (!detail::has_usual_pixels(image))
    throw FileError(path.string(), "its pixels are of the type " + cv::typeToString(image.type()),
                    "convert it to 8 or 16 bits per channel");
  return image;
}

}  // namespace thaw::vision
