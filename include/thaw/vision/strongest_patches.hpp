// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <opencv2/core.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <thaw/core/forward_part.hpp>
#include <thaw/core/module_ptr.hpp>
#include <thaw/data/source.hpp>
#include <thaw/vision/detail/look.hpp>
#include <thaw/vision/detail/receptive_field.hpp>
#include <thaw/vision/detail/strongest.hpp>

namespace thaw::vision {

struct StrongestPatchesOptions {
  std::string part = {};                    ///< whose channels are looked at: see ForwardPart
  std::vector<std::int64_t> channels = {};  ///< which; if empty, those that single images excite most
  std::int64_t most_channels = 6;           ///< where none are named
  std::int64_t patches = 8;                 ///< of each channel, from as many images
  /// What of the gradient lies in a patch, by rows and by columns: 1 for all that the network can see, which is far
  /// more than what counts (arXiv:1701.04128).
  double share = 0.9;
  /// Makes maps [N, C, h, w] of what the part gives, where that is something else: the tokens of a transformer.
  std::function<at::Tensor(const at::Tensor&)> to_maps = {};
};

/// A place in an image that excites a channel.
struct Patch {
  std::int64_t sample = 0;  ///< the image's number in the source's own order
  double activation = 0;
  cv::Rect box = {};       ///< what the channel sees from there
  std::int64_t image = 0;  ///< its number in StrongestPatches::images
};

/// A channel's patches, the strongest first.
struct ChannelPatches {
  std::int64_t channel = 0;
  std::vector<Patch> patches = {};
};

struct StrongestPatches {
  std::string part = {};
  std::vector<ChannelPatches> channels = {};
  at::Tensor images = {};  ///< [.., C, H, W]: those that the patches are of, as the model sees them
};

namespace detail {

[[nodiscard]] inline StrongestPatches strongest_patches(torch::nn::Module& module, std::vector<ForwardPart> parts,
                                                        const DataSource& source,
                                                        const StrongestPatchesOptions& options) {
  const char* where = "strongest_patches";
  if (options.patches < 1 || options.most_channels < 1 || !(options.share > 0 && options.share <= 1))
    throw ConfigError(where, "no patches, no channels, or a share of " + thaw::detail::number(options.share),
                      "ask for at least one, and a share of the gradient above 0 and up to 1");
  const Look look(module);
  const at::TensorOptions like = like_weights(module);
  const FrozenSplit split = split_behind(where, std::move(parts), options.part);
  const auto maps = [&](const at::Tensor& given) { return maps_of(where, options.part, given, options.to_maps); };

  StrongestPlaces places(options.patches);
  see_images(where, source, [&](const at::Tensor& images, std::int64_t) {
    const auto given = split.features(images.to(like)).as<ForwardPart::Tensors>();
    places.add(maps(given.back()));
    return true;
  });
  const std::vector<std::int64_t> channels =
      places.checked(where, options.channels.empty() ? places.outstanding(options.most_channels) : options.channels);

  StrongestPatches result{.part = options.part};
  const std::vector<std::int64_t> samples = places.samples_of(channels);
  result.images = gathered(where, source, samples);
  const PartRun run = [&](const at::Tensor& images) {
    ForwardPart::Tensors x{images.clone()};  // a first part may work in place
    for (const ForwardPart& part : split.prefix) x = part.forward(x);
    return maps(x.back());
  };
  for (const std::int64_t channel : channels) {
    ChannelPatches& all = result.channels.emplace_back(ChannelPatches{.channel = channel});
    std::vector<std::int64_t> rows;
    for (const StrongestPlace& place : places.of(channel)) {
      rows.push_back(std::ranges::lower_bound(samples, place.sample) - samples.begin());
      all.patches.push_back({.sample = place.sample, .activation = place.activation, .image = rows.back()});
    }
    const at::Tensor seen =
        sensitivity(run, result.images.index_select(0, at::tensor(rows)).to(like), channel, places.of(channel));
    for (std::size_t i = 0; i < all.patches.size(); ++i)
      all.patches[i].box = box_around(seen[static_cast<std::int64_t>(i)], options.share);
  }
  std::vector<cv::Rect*> boxes;
  for (ChannelPatches& all : result.channels)
    for (Patch& patch : all.patches) boxes.push_back(&patch.box);
  make_alike(boxes, {static_cast<int>(result.images.size(3)), static_cast<int>(result.images.size(2))});
  return result;
}

}  // namespace detail

/// Which images excite a channel of a network's part most, and where (Zeiler and Fergus, arXiv:1311.2901, in whose
/// figure 2 these stand beside what was made of them). An image counts once, at the place of its strongest activation.
/// What the channel sees from there follows from the gradient of that activation by the image, for any network: the
/// shortest span of rows, and of columns, that holds `share` of its size. A part's patches are squares of one size, the
/// middle one of those found, so that they can be compared.
///
/// `source` numbers its samples (ImageSource, InMemory) and has one input, images; two passes over it are made. The
/// module's mode, gradients, requires_grad and the random generators stay as they are; it is run in evaluation mode.
/// Throws ConfigError for a part or channel that is not there and for a part that gives no maps, DataError for a source
/// that is empty or does not number its samples.
///
///     const auto found = strongest_patches(model, valid, {.part = "layer3"});
///     write_image(patch_sheet(found, imagenet_statistics), "layer3.png");
template <class Model>
[[nodiscard]] StrongestPatches strongest_patches(Model model, const DataSource& source,
                                                 const StrongestPatchesOptions& options) {
  static_assert(SplitForward<Model>,
                "thaw: strongest_patches needs a model that can be run in parts: a torch::nn::Sequential, or one with "
                "forward_parts(); see thaw::ForwardPart");
  return detail::strongest_patches(*thaw::detail::module_ptr(model), forward_parts(model), source, options);
}

}  // namespace thaw::vision
