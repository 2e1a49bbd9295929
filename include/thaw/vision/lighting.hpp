// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include <thaw/vision/detail/pixel_values.hpp>
#include <thaw/vision/random.hpp>

namespace thaw::vision {

/// Lighter or darker: logit(v) + logit(c) of each value v in [0, 1], c uniform in (1 ± max_change) / 2. Source:
/// fastai's Brightness.
struct Brightness {
  double max_change = 0.2;
  double p = 0.75;

  void operator()(cv::Mat& image, Random& random) const {
    if (!random.chance(p)) return;
    shift(image, random.uniform(0.5 * (1 - max_change), 0.5 * (1 + max_change)));
  }
  static void shift(cv::Mat& image, double change) {
    const double by = detail::logit(change);
    detail::map_values(image, [by](double v) { return detail::sigmoid(detail::logit(v) + by); });
  }
};

/// More or less contrast: logit(v) c of each value v in [0, 1], log(c) uniform in ± log(1 - max_change). Source:
/// fastai's Contrast.
struct Contrast {
  double max_change = 0.2;
  double p = 0.75;

  void operator()(cv::Mat& image, Random& random) const {
    if (!random.chance(p)) return;
    scale(image, random.log_uniform(1 - max_change, 1 / (1 - max_change)));
  }
  static void scale(cv::Mat& image, double change) {
    detail::map_values(image, [change](double v) { return detail::sigmoid(detail::logit(v) * change); });
  }
};

/// Brightness, contrast, saturation and hue by random factors, in random order: torchvision's ColorJitter, on bytes.
/// Factors are uniform in [max(0, 1 - x), 1 + x], hue in [-hue, hue] turns of the colour circle. Images of one channel
/// have no saturation or hue; alpha stays as it is.
struct ColorJitter {
  double brightness = 0, contrast = 0, saturation = 0, hue = 0;
  double p = 1;

  void operator()(cv::Mat& image, Random& random) const {
    if (!random.chance(p)) return;
    std::array<int, 4> order{0, 1, 2, 3};
    for (std::size_t i = order.size(); i > 1; --i)
      std::swap(order[i - 1], order[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(i)))]);
    const auto factor = [&](double x) { return random.uniform(std::max(0.0, 1 - x), 1 + x); };
    for (const int which : order) {
      if (which == 0 && brightness > 0) adjust_brightness(image, factor(brightness));
      if (which == 1 && contrast > 0) adjust_contrast(image, factor(contrast));
      if (which == 2 && saturation > 0) adjust_saturation(image, factor(saturation));
      if (which == 3 && hue > 0) adjust_hue(image, random.uniform(-hue, hue));
    }
  }

  /// v f.
  static void adjust_brightness(cv::Mat& image, double factor) {
    detail::map_values(image, [factor](double v) { return v * factor; });
  }
  /// v f + (1 - f) m, m the mean of the image in gray.
  static void adjust_contrast(cv::Mat& image, double factor) {
    const double mean = cv::mean(detail::gray(image))[0] / detail::largest(image.depth());
    detail::map_values(image, [factor, mean](double v) { return v * factor + (1 - factor) * mean; });
  }
  /// v f + (1 - f) g, g the pixel in gray.
  static void adjust_saturation(cv::Mat& image, double factor) {
    detail::change_colors(image, [factor](cv::Mat& colors) {
      cv::Mat gray;
      cv::cvtColor(detail::gray(colors), gray, cv::COLOR_GRAY2RGB);
      cv::addWeighted(colors, factor, gray, 1 - factor, 0, colors);
    });
  }
  /// Turns the colour circle.
  static void adjust_hue(cv::Mat& image, double turns) {
    detail::change_colors(image, [turns](cv::Mat& colors) {
      cv::Mat hsv;
      colors.convertTo(hsv, CV_32F, 1 / detail::largest(colors.depth()));
      cv::cvtColor(hsv, hsv, cv::COLOR_RGB2HSV);
      hsv.forEach<cv::Vec3f>([turns](cv::Vec3f& pixel, const int*) {
        const double degrees = pixel[0] + 360 * turns;
        pixel[0] = static_cast<float>(degrees - 360 * std::floor(degrees / 360));
      });
      cv::cvtColor(hsv, hsv, cv::COLOR_HSV2RGB);
      hsv.convertTo(colors, colors.type(), detail::largest(colors.depth()));
    });
  }
};

/// Out of focus: a Gaussian, its sigma uniform between the two, in pixels.
struct GaussianBlur {
  double min_sigma = 0.1, max_sigma = 2;
  double p = 0.5;

  void operator()(cv::Mat& image, Random& random) const {
    if (!random.chance(p)) return;
    cv::Mat blurred;
    cv::GaussianBlur(image, blurred, {}, random.uniform(min_sigma, max_sigma));
    image = blurred;
  }
};

}  // namespace thaw::vision
