// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <thaw/vision/contact_sheet.hpp>
#include <thaw/vision/normalization.hpp>
#include <thaw/vision/strongest_patches.hpp>

namespace thaw::vision {

/// What is shown of a patch.
enum class PatchView : std::int8_t {
  patch,  ///< what the channel sees, enlarged
  image,  ///< the whole image, the patch framed
};

/// The patches as tiles, channel by channel; captions: the activation, and the sample's number.
[[nodiscard]] inline std::vector<Tile> patch_tiles(const StrongestPatches& found, const Normalization& normalization,
                                                   PatchView view = PatchView::patch) {
  std::vector<Tile> tiles;
  for (const ChannelPatches& channel : found.channels)
    for (const Patch& patch : channel.patches) {
      cv::Mat image = to_image(found.images[patch.image], normalization);
      if (view == PatchView::patch) {
        image = image(patch.box).clone();
      } else {
        const int enlarged = std::max(1, 224 / std::max(image.cols, image.rows));  // so that the frame is thin
        cv::resize(detail::as_rgb(image), image, {}, enlarged, enlarged, cv::INTER_CUBIC);
        const cv::Rect frame(patch.box.x * enlarged, patch.box.y * enlarged, patch.box.width * enlarged,
                             patch.box.height * enlarged);
        cv::rectangle(image, frame, cv::Scalar::all(255), 5);
        cv::rectangle(image, frame, cv::Scalar(213, 94, 0), 3);
      }
      tiles.push_back({image, fmt::format("{:.2f} ({})", patch.activation, patch.sample)});
    }
  return tiles;
}

/// The patches on one sheet, a row for each channel.
[[nodiscard]] inline cv::Mat patch_sheet(const StrongestPatches& found, const Normalization& normalization,
                                         PatchView view = PatchView::patch, ContactSheetOptions options = {}) {
  if (found.channels.empty()) return contact_sheet({}, options);
  options.columns = static_cast<int>(found.channels[0].patches.size());
  options.rows.clear();
  for (const ChannelPatches& channel : found.channels) options.rows.push_back(fmt::format("{}", channel.channel));
  if (options.title.empty()) options.title = found.part + ": what excites its channels most, a row for each";
  return contact_sheet(patch_tiles(found, normalization, view), options);
}

}  // namespace thaw::vision
