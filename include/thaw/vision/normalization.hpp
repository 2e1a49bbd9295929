// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <opencv2/core.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/channel_statistics.hpp>
#include <thaw/core/error.hpp>
#include <thaw/vision/detail/pixel_values.hpp>

namespace thaw::vision {

/// What a network's input is, per channel: (v - mean) / std of values v in [0, 1], which is v = x / 255 for bytes.
/// Example: `Normalization{imagenet_statistics}`; for one channel `Normalization{{0.286}, {0.353}}`.
struct Normalization {
  std::vector<double> mean = {}, std = {};

  Normalization() = default;
  Normalization(std::vector<double> means, std::vector<double> deviations)
      : mean(std::move(means)), std(std::move(deviations)) {}
  Normalization(const ChannelStatistics& of)
      : mean(of.mean.begin(), of.mean.end()), std(of.std.begin(), of.std.end()) {}

  /// Throws ConfigError unless there is one of each for every channel, finite, no deviation 0.
  void check(const std::string& where, int channels) const {
    if (mean.empty() && std.empty())
      throw ConfigError(
          where, "it is not said what the network expects of pixels",
          "set .normalization, as to thaw::imagenet_statistics; {{0, 0, 0}, {1, 1, 1}} leaves them in [0, 1]");
    const auto whole = [&](const std::vector<double>& values) {
      return std::ssize(values) == channels && std::ranges::all_of(values, [](double v) { return std::isfinite(v); });
    };
    if (!whole(mean) || !whole(std) || std::ranges::count(std, 0.0) > 0)
      throw ConfigError(where,
                        std::to_string(mean.size()) + " means and " + std::to_string(std.size()) + " deviations for " +
                            std::to_string(channels) + " channels, or one that cannot be divided by",
                        "give finite numbers, one of each for a channel, no deviation 0");
  }

  /// Writes an image [H, W] to `planes`, [C, H, W] floats that follow one another. The image has as many channels.
  void write(const cv::Mat& image, float* planes) const {
    const double most = detail::largest(image.depth());
    cv::Mat plane;
    for (int c = 0; c < image.channels(); ++c) {
      const auto i = static_cast<std::size_t>(c);
      cv::extractChannel(image, plane, c);
      cv::Mat result(image.rows, image.cols, CV_32F, planes + std::ptrdiff_t{c} * image.rows * image.cols);
      plane.convertTo(result, CV_32F, 1 / (most * std[i]), -mean[i] / std[i]);
    }
  }
};

/// [C, H, W] floats: what a network sees of an image. Throws ConfigError where the numbers of channels differ.
[[nodiscard]] inline at::Tensor to_tensor(const cv::Mat& image, const Normalization& normalization) {
  normalization.check("to_tensor", image.channels());
  at::Tensor result = at::empty({image.channels(), image.rows, image.cols}, at::kFloat);
  normalization.write(image, result.mutable_data_ptr<float>());
  return result;
}

/// The image, in bytes, that a network sees as this [C, H, W] tensor of one, three or four channels. Throws DataError
/// for any other tensor, ConfigError where the numbers of channels differ.
[[nodiscard]] inline cv::Mat to_image(const at::Tensor& tensor, const Normalization& normalization) {
  if (tensor.dim() != 3 || (tensor.size(0) != 1 && tensor.size(0) != 3 && tensor.size(0) != 4))
    throw DataError("to_image", "a tensor of " + std::to_string(tensor.dim()) + " dimensions",
                    "give one image, [C, H, W] with one, three or four channels");
  normalization.check("to_image", static_cast<int>(tensor.size(0)));
  const at::Tensor values = tensor.detach().to(at::kCPU, at::kFloat).contiguous();
  std::vector<cv::Mat> planes;
  for (std::int64_t c = 0; c < values.size(0); ++c) {
    const auto i = static_cast<std::size_t>(c);
    const cv::Mat plane(static_cast<int>(values.size(1)), static_cast<int>(values.size(2)), CV_32F,
                        values[c].data_ptr<float>());
    planes.emplace_back();
    plane.convertTo(planes.back(), CV_8U, 255 * normalization.std[i], 255 * normalization.mean[i]);
  }
  cv::Mat image;
  cv::merge(planes, image);
  return image;
}

}  // namespace thaw::vision
