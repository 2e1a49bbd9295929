// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/vision/contact_sheet.hpp>
#include <thaw/vision/read_mask.hpp>

namespace thaw::vision {

/// The colour that a class is shown in: for classes 1 to 8 those that colour-blind people tell apart, with gray for the
/// eighth; darker for the next eight, lighter for those behind, and from class 25 on the first ones again. Source:
/// Okabe and Ito, "Color Universal Design", 2008.
[[nodiscard]] inline Color class_color(std::size_t label) {
  static constexpr std::array<Color, 8> colors{{{230, 159, 0},
                                                {86, 180, 233},
                                                {0, 158, 115},
                                                {240, 228, 66},
                                                {0, 114, 178},
                                                {213, 94, 0},
                                                {204, 121, 167},
                                                {153, 153, 153}}};
  const std::size_t i = (label + 3 * colors.size() - 1) % (3 * colors.size()), round = i / colors.size();
  Color color = colors[i % colors.size()];
  for (std::uint8_t& part : color)
    part = static_cast<std::uint8_t>(round == 0 ? part : round == 1 ? part / 2 : 128 + part / 2);
  return color;
}

struct Overlay {
  double opacity = 0.5;
  int background = 0;               ///< a class that stays uncoloured; -1: none
  std::optional<int> ignored = {};  ///< another one; if unset 255, unless it is the mask's only class but 0: foreground
};

/// Which colour is whose, for a contact sheet of overlays: of all classes but the background. A mask's values count
/// from 0, as the names do.
///
///     contact_sheet({{overlay(image, mask)}, {overlay(image, predicted)}}, {.legend = class_legend(classes)});
[[nodiscard]] inline std::vector<LegendEntry> class_legend(const std::vector<std::string>& classes,
                                                           int background = Overlay{}.background) {
  std::vector<LegendEntry> legend;
  for (std::size_t i = 0; i < classes.size(); ++i)
    if (std::cmp_not_equal(i, background)) legend.push_back({classes[i], class_color(i)});
  return legend;
}

/// An image of bytes, RGB or gray, with its mask's classes in colours upon it. Throws DataError where the two differ in
/// size, or are not of bytes.
[[nodiscard]] inline cv::Mat overlay(const cv::Mat& image, const cv::Mat& mask, const Overlay& how = {}) {
  if (image.size() != mask.size() || image.depth() != CV_8U || mask.type() != CV_8U || image.channels() == 4)
    throw DataError("overlay",
                    "an image " + cv::typeToString(image.type()) + " and a mask " + cv::typeToString(mask.type()) +
                        ", or of different sizes",
                    "give both in bytes, with one mask value for each pixel");
  const bool binary = !how.ignored && cv::countNonZero((mask != 0) & (mask != 255)) == 0;  // masks of 0 and 255
  cv::Mat result;
  image.channels() == 1 ? cv::cvtColor(image, result, cv::COLOR_GRAY2RGB) : image.copyTo(result);
  for (int y = 0; y < mask.rows; ++y)
    for (int x = 0; x < mask.cols; ++x) {
      int label = mask.at<std::uint8_t>(y, x);
      if (binary && label == 255) label = 1;
      if (label == how.background || label == how.ignored.value_or(255)) continue;
      const Color color = class_color(static_cast<std::size_t>(label));
      auto& pixel = result.at<cv::Vec3b>(y, x);
      for (int c = 0; c < 3; ++c)
        pixel[c] = cv::saturate_cast<std::uint8_t>(pixel[c] * (1 - how.opacity) +
                                                   color[static_cast<std::size_t>(c)] * how.opacity);
    }
  return result;
}

}  // namespace thaw::vision
