// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <opencv2/core.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/mixed_seed.hpp>
#include <thaw/data/in_memory.hpp>
#include <thaw/data/ordered_workers.hpp>
#include <thaw/data/sample_order.hpp>
#include <thaw/data/source.hpp>
#include <thaw/vision/image_list.hpp>
#include <thaw/vision/normalization.hpp>
#include <thaw/vision/predict.hpp>
#include <thaw/vision/random.hpp>
#include <thaw/vision/read_image.hpp>
#include <thaw/vision/read_mask.hpp>
#include <thaw/vision/transforms.hpp>

namespace thaw::vision {

struct ImageSourceOptions {
  ImageList images;
  Transforms transforms = {};        ///< of each image, which bring all of a batch to one size
  Normalization normalization = {};  ///< what the network expects; has to be said
  Channels channels = Channels::rgb;
  Predict predict = Predict::label;
  /// JPEGs that `transforms` make at least twice smaller are decoded at a half, a quarter or an eighth of their size,
  /// not below that at which the network sees them. Takes less time; what the network sees differs little
  /// (docs/vision.md). Not for masks, keypoints and boxes.
  bool scaled_decoding = true;
  /// Which way up masks, keypoints and boxes were drawn. If unset, images and masks are turned upright, each as its own
  /// EXIF says, and an image that is turned without its mask, or with keypoints or boxes, is an error.
  std::optional<Orientation> orientation = {};
  std::vector<Color> mask_colors = {};  ///< of masks that are written in colours: that of each class
  std::vector<int> mask_values = {};    ///< of masks in numbers: that of each class, as {0, 255}; if empty 0, 1, 2, ...
  std::optional<int> mask_ignore = {};  ///< number of pixels that count for no class; in the target they are 255
  bool mask_nearest =
      false;  ///< take numbers between mask_values, as in a JPEG, for the nearest; otherwise refuse them
  std::int64_t batch_size = 64;
  bool shuffle = false;
  std::uint64_t seed = 0;  ///< with the epoch it fixes the order, and with epoch and image all that is drawn
  bool drop_last = false;  ///< leave out a last batch that is not full
  /// [images], how often each is drawn: balanced_weights(source.targets()), say. See SampleOrder::weights.
  at::Tensor weights = {};
  int workers = -1;        ///< threads that read and transform, each a batch at a time; -1: one per processor, up to 8
  std::int64_t ahead = 4;  ///< batches that may be ready before they are asked for
};

/// Images from disk, in batches: worker threads read, decode, transform and normalise them ahead of the training loop.
/// A source for the Learner, which goes on exactly where a run was stopped: what is drawn for an image depends on seed,
/// epoch and its place in the list alone, not on threads, on the batch size, or on LibTorch's generators.
///
///     const auto [train, valid] = stratified_split(image_folder("flowers"));
///     ImageSource source({.images = train, .transforms = {Resize{128}, aug_transforms()},
///                         .normalization = imagenet_statistics, .shuffle = true});
///
/// An image that cannot be read ends the pass with an error that names it; drop_unreadable takes such images out of a
/// list before. OpenCV has threads of its own: a program that only loads images does best with cv::setNumThreads(1).
class ImageSource {
 public:
  /// Throws DataError for an empty list, for images without the target that is to be predicted, for a class that is not
  /// in `classes`; ConfigError for a normalization that does not fit the channels, and mask_* that do not fit the
  /// classes. Of masks, the first is tried; another with a value that is no class's ends the pass with its name.
  explicit ImageSource(ImageSourceOptions options)
      : options_(std::make_shared<const ImageSourceOptions>(std::move(options))),
        order_{.samples = options_->images.size(),
               .batch_size = options_->batch_size,
               .shuffle = options_->shuffle,
               .seed = options_->seed,
               .drop_last = options_->drop_last,
               .weights = options_->weights} {
    order_.check("ImageSource");
    options_->normalization.check("ImageSource", static_cast<int>(options_->channels));
    if (options_->ahead < 1 || options_->workers < -1)
      throw ConfigError("ImageSource",
                        std::to_string(options_->workers) + " workers, " + std::to_string(options_->ahead) + " ahead",
                        "give at least one batch ahead, and 0 workers or more");
    check_targets(options_->images, options_->predict);
    targets_ = detail::known_targets(options_->images, options_->predict);
    if (options_->predict == Predict::mask) {
      mask_code(*options_).check("ImageSource", std::ssize(options_->images.classes));
      (void)mask(*options_, options_->images.items[0]);
    }
  }

  [[nodiscard]] std::int64_t samples() const { return order_.samples; }
  [[nodiscard]] std::int64_t batches() const { return order_.batches(); }
  /// Samples of the last batch.
  [[nodiscard]] std::int64_t last_batch() const { return order_.last_batch(); }
  /// In the order of the list; none for masks, keypoints and boxes, which change with the images.
  [[nodiscard]] Fields targets() const { return targets_; }
  [[nodiscard]] const ImageList& images() const { return options_->images; }
  /// The names of the targets' classes; empty where numbers or places are predicted.
  [[nodiscard]] std::vector<std::string> classes() const {
    const bool numbers = options_->predict == Predict::keypoints || options_->predict == Predict::values;
    return numbers ? std::vector<std::string>() : options_->images.classes;
  }
  [[nodiscard]] const ImageSourceOptions& options() const { return *options_; }

  /// One pass, from its i-th batch on; of each batch a shard, whose images alone are read.
  [[nodiscard]] BatchStream stream(std::int64_t epoch, std::int64_t i = 0, const Shard& shard = {}) const {
    return stream(order_, order_.of_epoch(epoch), epoch, i, shard);
  }
  /// Every image once, in the order of the list, also those that `drop_last` leaves out; transformed as in the epoch of
  /// that number. Of a shard those whose numbers are its own: see ShardedSource.
  [[nodiscard]] BatchStream in_order(std::int64_t pass = 0, const Shard& shard = {}) const {
    return stream(order_.numbers(shard), at::arange(shard.index, samples(), shard.count, at::kLong), pass, 0, {});
  }

  /// These images alone, by their numbers in the list (int64).
  [[nodiscard]] ImageSource subset(const at::Tensor& numbers) const {
    ImageSourceOptions options = *options_;
    options.images.items.clear();
    for (std::int64_t i = 0; i < numbers.numel(); ++i)
      options.images.items.push_back(images().items.at(static_cast<std::size_t>(numbers[i].item<std::int64_t>())));
    if (options.weights.defined()) options.weights = options.weights.index_select(0, numbers);
    return ImageSource(std::move(options));
  }

  /// The same targets in the same batches with other inputs: what a frozen network made of the images, or of a shard of
  /// them. Throws DataError for masks, keypoints and boxes, which change with the images.
  [[nodiscard]] InMemory with_input(Fields input, const Shard& shard = {}) const {
    if (!targets_.defined())
      throw DataError("ImageSource",
                      "masks, keypoints and boxes move with the images, and cannot be kept apart from them",
                      "do not cache what a frozen network makes of these images");
    return InMemory({.input = targets_,
                     .target = targets_,
                     .batch_size = order_.batch_size,
                     .shuffle = order_.shuffle,
                     .seed = order_.seed,
                     .drop_last = order_.drop_last,
                     .weights = order_.weights})
        .with_input(std::move(input), shard);
  }

  /// An image as the network would see it in an epoch, before it is normalised.
  [[nodiscard]] Sample sample(std::int64_t i, std::int64_t epoch = 0) const { return sample(*options_, i, epoch); }

 private:
  [[nodiscard]] BatchStream stream(const SampleOrder& batches, at::Tensor order, std::int64_t epoch, std::int64_t i,
                                   const Shard& shard) const {
    const auto make = [options = options_, known = targets_, batches, order = std::move(order), epoch,
                       shard](std::int64_t batch) {
      const auto [from, to, stand_in] = batches.range(batch, shard);
      std::vector<std::int64_t> numbers;
      for (std::int64_t at = from; at < to; ++at)
        numbers.push_back(order.defined() ? order.const_data_ptr<std::int64_t>()[at] : at);
      Batch result = collate(*options, known, numbers, epoch);
      result.stand_in = stand_in;
      return result;
    };
    const auto processors = static_cast<int>(std::thread::hardware_concurrency());
    const int workers = options_->workers < 0 ? std::clamp(processors, 1, 8) : options_->workers;
    auto pass = std::make_shared<OrderedWorkers<Batch>>(make, i, batches.batches(), workers, options_->ahead);
    return [pass] { return pass->next(); };
  }

  static MaskCode mask_code(const ImageSourceOptions& options) {
    return {.colors = options.mask_colors,
            .values = options.mask_values,
            .ignore = options.mask_ignore,
            .nearest = options.mask_nearest};
  }
  static detail::OrientedImage mask(const ImageSourceOptions& options, const ImageItem& item) {
    return detail::read_oriented_mask(item.mask, mask_code(options), std::ssize(options.images.classes),
                                      options.orientation.value_or(Orientation::upright));
  }
  /// Throws DataError where the file turns its image, and not what was drawn on it.
  static void check_orientation(const ImageSourceOptions& options, const ImageItem& item, int image, int drawn) {
    if (!options.orientation && image != drawn)
      throw DataError(item.path.string(),
                      "its EXIF turns it (orientation " + std::to_string(image) + "), and not its " +
                          (options.predict == Predict::mask    ? "mask"
                           : options.predict == Predict::boxes ? "boxes"
                                                               : "keypoints"),
                      "say what they were drawn on by orientation = Orientation::stored, the pixels as they lie in the "
                      "file, or Orientation::upright, the image as it is shown");
  }

  static Sample sample(const ImageSourceOptions& options, std::int64_t i, std::int64_t epoch) {
    const ImageItem& item = options.images.items.at(static_cast<std::size_t>(i));
    detail::Reduction reduction;
    if (options.scaled_decoding && !is_drawn(options.predict))
      reduction = [&](cv::Size size) { return options.transforms.reduction(size); };
    const auto [image, orientation] = detail::read_oriented(
        item.path, options.channels, options.orientation.value_or(Orientation::upright), reduction);
    Sample sample{.image = image};
    if (options.predict == Predict::mask) {
      const auto [mask, mask_orientation] = ImageSource::mask(options, item);
      check_orientation(options, item, orientation, mask_orientation);
      sample.mask = mask;
      if (sample.mask.size() != sample.image.size())
        throw DataError(item.mask.string(), text(sample.mask) + ", and its image is " + text(sample.image),
                        "give a mask with a pixel for each of the image's");
    }
    if (is_drawn(options.predict) && options.predict != Predict::mask) check_orientation(options, item, orientation, 1);
    if (options.predict == Predict::keypoints)
      for (const auto& [x, y] : item.keypoints) sample.keypoints.emplace_back(x, y);
    if (options.predict == Predict::boxes) sample.boxes = item.boxes;
    Random random(seed_of(mixed_seed(options.seed, epoch), i));
    options.transforms(sample, random);
    return sample;
  }

  static std::string text(const cv::Mat& image) {
    return std::to_string(image.cols) + " x " + std::to_string(image.rows) + " pixels";
  }

  [[nodiscard]] static Batch collate(const ImageSourceOptions& options, const at::Tensor& known_targets,
                                     const std::vector<std::int64_t>& numbers, std::int64_t epoch) {
    const auto n = std::ssize(numbers);
    const auto pinned = at::TensorOptions().pinned_memory(has_accelerator());
    at::Tensor images, targets;
    std::vector<std::vector<Box>> boxes;
    for (std::int64_t b = 0; b < n; ++b) {
      const std::int64_t i = numbers[static_cast<std::size_t>(b)];
      const Sample sample = ImageSource::sample(options, i, epoch);
      const std::int64_t c = sample.image.channels(), h = sample.image.rows, w = sample.image.cols;
      if (!images.defined()) images = at::empty({n, c, h, w}, pinned.dtype(at::kFloat));
      if (images.size(2) != h || images.size(3) != w)
        throw DataError(options.images.items[static_cast<std::size_t>(i)].path.string(),
                        "is " + text(sample.image) + " after all transforms, and others of its batch are " +
                            std::to_string(images.size(3)) + " x " + std::to_string(images.size(2)),
                        "bring all to one size, as by Resize{224}");
      options.normalization.write(sample.image, images.mutable_data_ptr<float>() + b * c * h * w);
      if (options.predict == Predict::mask) {
        if (!targets.defined()) targets = at::empty({n, h, w}, pinned.dtype(at::kLong));
        detail::write_mask(sample.mask, targets.mutable_data_ptr<std::int64_t>() + b * h * w);
      } else if (options.predict == Predict::keypoints) {
        const auto k = std::ssize(sample.keypoints);
        if (!targets.defined()) targets = at::empty({n, k, 2}, pinned.dtype(at::kFloat));
        detail::write_points(sample.keypoints, targets.mutable_data_ptr<float>() + b * k * 2);
      } else if (options.predict == Predict::boxes) {
        boxes.push_back(sample.boxes);
      }
    }
    if (options.predict == Predict::boxes) return {.input = images, .target = detail::box_targets(boxes, pinned)};
    if (!targets.defined()) targets = detail::rows(known_targets, numbers, pinned);
    return {.input = images, .target = targets};
  }

  std::shared_ptr<const ImageSourceOptions> options_;
  SampleOrder order_;
  at::Tensor targets_;  // undefined for what moves with the images
};

/// The images that can be read in these channels, and into `unreadable` why the others cannot. Reads them all, by as
/// many threads as there are processors.
[[nodiscard]] inline ImageList drop_unreadable(const ImageList& images, std::vector<std::string>* unreadable = nullptr,
                                               Channels channels = Channels::rgb) {
  ImageList kept{.classes = images.classes};
  const auto problem = [&](std::int64_t i) -> std::string {
    try {
      (void)read_image(images.items[static_cast<std::size_t>(i)].path, channels);
      return {};
    } catch (const Error& error) {
      return error.where() + ": " + error.problem();
    }
  };
  const auto threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  OrderedWorkers<std::string> problems(problem, 0, images.size(), threads, 16 * std::int64_t{threads});
  for (const ImageItem& item : images.items)
    if (const std::string said = problems.next().value(); said.empty())
      kept.items.push_back(item);
    else if (unreadable != nullptr)
      unreadable->push_back(said);
  return kept;
}

}  // namespace thaw::vision
