// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include <thaw/vision/sample.hpp>

namespace thaw::vision {

/// What lies outside an image.
enum class Beyond : std::int8_t {
  nothing,   ///< none of it is shown
  mirrored,  ///< its mirror image, without the edge pixel twice
  color,     ///< one colour
};

/// Where pixels go: `matrix` takes a pixel's place (x, y, 1), in pixels from the middle of the first one, to its place
/// in an image of `size`, up to a factor. Warps of one kind of border that follow one another are one, and pixels are
/// interpolated once.
struct Warp {
  cv::Matx33d matrix = cv::Matx33d::eye();
  cv::Size size = {};
  Beyond beyond = Beyond::nothing;
  cv::Scalar color = {};           ///< as the image's pixels are, 0 to 255 for bytes
  std::uint8_t mask_beyond = 255;  ///< the mask's class there, where `beyond` is a colour
};

/// Where a point goes.
[[nodiscard]] inline cv::Point2d moved(const cv::Matx33d& matrix, cv::Point2d point) {
  const cv::Vec3d at = matrix * cv::Vec3d(point.x, point.y, 1);
  return {at[0] / at[2], at[1] / at[2]};
}

/// Scaling of an image as a whole: pixel edges stay pixel edges.
[[nodiscard]] inline cv::Matx33d scaling(double x, double y) {
  return {x, 0, (x - 1) / 2, 0, y, (y - 1) / 2, 0, 0, 1};
}
[[nodiscard]] inline cv::Matx33d translation(double x, double y) {
  return {1, 0, x, 0, 1, y, 0, 0, 1};
}

/// `matrix` seen from the middle of an image: for what turns or stretches it about there.
[[nodiscard]] inline cv::Matx33d about_middle(const cv::Matx33d& matrix, cv::Size size) {
  const double x = (size.width - 1) / 2.0, y = (size.height - 1) / 2.0;
  return translation(x, y) * matrix * translation(-x, -y);
}

namespace detail {

inline bool nearly(const cv::Matx33d& a, const cv::Matx33d& b) {
  return cv::norm(a * (1 / a(2, 2)) - b * (1 / b(2, 2)), cv::NORM_INF) < 1e-6;
}

/// How much a warp stretches along x and y, in the middle of what it shows.
inline cv::Point2d stretch(const Warp& warp) {
  const cv::Point2d middle = moved(warp.matrix.inv(), {(warp.size.width - 1) / 2.0, (warp.size.height - 1) / 2.0});
  const cv::Point2d here = moved(warp.matrix, middle);
  const cv::Point2d x = moved(warp.matrix, middle + cv::Point2d(1, 0)) - here;
  const cv::Point2d y = moved(warp.matrix, middle + cv::Point2d(0, 1)) - here;
  return {std::hypot(x.x, x.y), std::hypot(y.x, y.y)};
}

}  // namespace detail

/// The image under a warp. Where it shrinks, pixels are averaged over areas before they are interpolated, so that no
/// detail turns into noise.
[[nodiscard]] inline cv::Mat warped(const cv::Mat& image, const Warp& warp) {
  cv::Mat source = image;
  cv::Matx33d matrix = warp.matrix;
  const cv::Point2d stretch = detail::stretch(warp);
  const auto shrunk = [](int length, double by) { return std::max(1, static_cast<int>(std::lround(length * by))); };
  const cv::Size smaller(shrunk(image.cols, std::min(stretch.x, 1.0)), shrunk(image.rows, std::min(stretch.y, 1.0)));
  if (smaller != image.size()) {
    cv::resize(image, source, smaller, 0, 0, cv::INTER_AREA);
    matrix = matrix *
             scaling(static_cast<double>(image.cols) / smaller.width, static_cast<double>(image.rows) / smaller.height);
  }
  if (warp.size == source.size() && detail::nearly(matrix, cv::Matx33d::eye())) return source;
  cv::Mat result;
  cv::warpPerspective(source, result, matrix, warp.size, cv::INTER_LINEAR,
                      warp.beyond == Beyond::color ? cv::BORDER_CONSTANT : cv::BORDER_REFLECT_101, warp.color);
  return result;
}

/// The box around where a box's corners go, as far as it is within the image.
[[nodiscard]] inline Box moved(const Warp& warp, const Box& box) {
  cv::Point2d least(warp.size.width, warp.size.height), most(0, 0);
  for (const double x : {box.x1, box.x2})
    for (const double y : {box.y1, box.y2}) {
      const cv::Point2d corner = moved(warp.matrix, {x - 0.5, y - 0.5}) + cv::Point2d(0.5, 0.5);
      least = {std::min(least.x, corner.x), std::min(least.y, corner.y)};
      most = {std::max(most.x, corner.x), std::max(most.y, corner.y)};
    }
  return {.x1 = std::max(least.x, 0.0),
          .y1 = std::max(least.y, 0.0),
          .x2 = std::min(most.x, static_cast<double>(warp.size.width)),
          .y2 = std::min(most.y, static_cast<double>(warp.size.height)),
          .label = box.label};
}

/// All of a sample under a warp; of a mask, each pixel is one of its pixels. Boxes of which less than a pixel is left,
/// in width or in height, are dropped. Source: torchvision's ClampBoundingBoxes and SanitizeBoundingBoxes.
inline void apply(const Warp& warp, Sample& sample) {
  if (!sample.image.empty()) sample.image = warped(sample.image, warp);
  if (!sample.mask.empty() && !(warp.size == sample.mask.size() && detail::nearly(warp.matrix, cv::Matx33d::eye()))) {
    cv::Mat mask;
    cv::warpPerspective(sample.mask, mask, warp.matrix, warp.size, cv::INTER_NEAREST,
                        warp.beyond == Beyond::color ? cv::BORDER_CONSTANT : cv::BORDER_REFLECT_101,
                        cv::Scalar::all(warp.mask_beyond));
    sample.mask = mask;
  }
  for (cv::Point2d& point : sample.keypoints) point = moved(warp.matrix, point);
  for (Box& box : sample.boxes) box = moved(warp, box);
  std::erase_if(sample.boxes, [](const Box& box) { return box.x2 - box.x1 < 1 || box.y2 - box.y1 < 1; });
}

}  // namespace thaw::vision
