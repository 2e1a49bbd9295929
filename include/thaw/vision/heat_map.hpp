// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include <string>

#include <thaw/core/error.hpp>
#include <thaw/vision/contact_sheet.hpp>

namespace thaw::vision {

struct HeatMapOptions {
  double opacity = 0.7;                 ///< of the colours where the map is highest
  int colormap = cv::COLORMAP_VIRIDIS;  ///< of cv::ColormapTypes; this one and CIVIDIS can be read by the colour-blind
};

/// A map [h, w] of numbers from 0 on, as colours over the gray image: enlarged to its size (bilinearly), scaled to its
/// own largest value. The higher the map, the less of the image shows through; where it is 0, all of it. Throws
/// DataError for another tensor.
[[nodiscard]] inline cv::Mat heat_map(const cv::Mat& image, const at::Tensor& map, const HeatMapOptions& options = {}) {
  if (map.dim() != 2)
    throw DataError("heat_map", "a map of " + std::to_string(map.dim()) + " dimensions", "give one image's, [h, w]");
  const at::Tensor values = map.detach().to(at::kCPU, at::kFloat).contiguous();
  const cv::Mat small(static_cast<int>(values.size(0)), static_cast<int>(values.size(1)), CV_32F,
                      values.data_ptr<float>());
  cv::Mat heat, bytes, colors;
  cv::resize(small, heat, image.size(), 0, 0, cv::INTER_LINEAR);
  double most = 0;
  cv::minMaxLoc(heat, nullptr, &most);
  heat *= most > 0 ? 1 / most : 0;
  heat.convertTo(bytes, CV_8U, 255);
  cv::applyColorMap(bytes, colors, options.colormap);
  cv::cvtColor(colors, colors, cv::COLOR_BGR2RGB);
  const cv::Mat gray = detail::gray(detail::as_rgb(image));
  cv::Mat result(image.size(), CV_8UC3);
  for (int y = 0; y < result.rows; ++y)
    for (int x = 0; x < result.cols; ++x) {
      const double part = options.opacity * heat.at<float>(y, x), below = (1 - part) * gray.at<unsigned char>(y, x);
      const cv::Vec3b& color = colors.at<cv::Vec3b>(y, x);
      for (int c = 0; c < 3; ++c)
        result.at<cv::Vec3b>(y, x)[c] = cv::saturate_cast<unsigned char>(below + part * color[c]);
    }
  return result;
}

}  // namespace thaw::vision
