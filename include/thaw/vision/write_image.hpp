// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <thaw/core/atomic_file.hpp>
#include <thaw/core/error.hpp>

namespace thaw::vision {

/// The bytes of an image file: of a format that OpenCV knows, named by its extension. Channels are in the order RGB.
/// Throws ConfigError for a format that it does not know, DataError for an image that the format cannot hold.
[[nodiscard]] inline std::string encoded(const cv::Mat& image, const std::string& extension = ".png") {
  cv::Mat bgr;
  if (image.channels() == 3) cv::cvtColor(image, bgr, cv::COLOR_RGB2BGR);
  if (image.channels() == 4) cv::cvtColor(image, bgr, cv::COLOR_RGBA2BGRA);
  std::vector<std::uint8_t> bytes;
  try {
    if (!image.empty() && cv::imencode(extension, bgr.empty() ? image : bgr, bytes)) return {bytes.begin(), bytes.end()};
  } catch (const cv::Exception&) {
    throw ConfigError("encoded", "OpenCV writes no images of the format \"" + extension + "\"", "take .png or .jpg");
  }
  throw DataError("encoded",
                  "an image of the type " + cv::typeToString(image.type()) + " cannot be written as " + extension,
                  "give one with pixels, one, three or four channels of bytes");
}

/// Writes an image file, by the extension of its name; one of that name stays whole until the new one is. Throws as
/// `encoded`, and FileError where it cannot be written.
inline void write_image(const cv::Mat& image, const std::filesystem::path& path) {
  const std::string bytes = encoded(image, path.extension().string());
  thaw::detail::AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

}  // namespace thaw::vision
