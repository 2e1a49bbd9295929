// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <opencv2/core.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <thaw/data/source.hpp>
#include <thaw/report/top_losses.hpp>
#include <thaw/vision/contact_sheet.hpp>
#include <thaw/vision/detail/strongest.hpp>
#include <thaw/vision/image_source.hpp>
#include <thaw/vision/normalization.hpp>

namespace thaw::vision {

namespace detail {

[[nodiscard]] inline std::string loss_caption(const SampleLoss& of, const std::vector<std::string>& classes) {
  const auto name = [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    return i < 0 ? "-" : at < classes.size() ? classes[at] : std::to_string(i);
  };
  if (of.predicted < 0) return fmt::format("{:.2f}", of.loss);
  const std::string is = of.predicted == of.actual ? "right" : "is " + name(of.actual);
  return fmt::format("{}\n{}\n{:.2f}, p {:.2f}", name(of.predicted), is, of.loss, of.probability);
}

[[nodiscard]] inline Tile loss_tile(cv::Mat image, const SampleLoss& of, const std::vector<std::string>& classes) {
  Tile tile{std::move(image), loss_caption(of, classes)};
  if (of.predicted >= 0) tile.right = of.predicted == of.actual;
  return tile;
}

}  // namespace detail

/// The images of top losses as tiles: as the network saw them in a pass in order. Captions, three lines:
/// the predicted class; "right", or "is" and the actual one; loss and probability of what was predicted. The loss alone
/// where there are no classes. What was predicted right has a blue frame, what was not an orange one. Source: fastai's
/// plot_top_losses.
///
///     write_image(contact_sheet(loss_tiles(top_losses(learner, valid), valid)), "top_losses.png");
[[nodiscard]] inline std::vector<Tile> loss_tiles(const std::vector<SampleLoss>& losses, const ImageSource& source) {
  std::vector<Tile> tiles;
  tiles.reserve(losses.size());
  for (const SampleLoss& each : losses)
    tiles.push_back(detail::loss_tile(source.sample(each.sample).image, each, source.images().classes));
  return tiles;
}

/// The same of any source that numbers its samples, whose input are images of this normalization. Makes a pass over it.
/// Throws DataError for other sources.
[[nodiscard]] inline std::vector<Tile> loss_tiles(const std::vector<SampleLoss>& losses, const DataSource& source,
                                                  const Normalization& normalization,
                                                  const std::vector<std::string>& classes = {}) {
  std::vector<std::int64_t> samples;
  samples.reserve(losses.size());
  for (const SampleLoss& each : losses) samples.push_back(each.sample);
  std::ranges::sort(samples);
  std::vector<Tile> tiles;
  if (samples.empty()) return tiles;
  const at::Tensor images = detail::gathered("loss_tiles", source, samples);
  for (const SampleLoss& each : losses) {
    const auto row = std::ranges::lower_bound(samples, each.sample) - samples.begin();
    tiles.push_back(detail::loss_tile(to_image(images[row], normalization), each, classes));
  }
  return tiles;
}

}  // namespace thaw::vision
