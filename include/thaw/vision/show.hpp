// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <c10/util/StringUtil.h>
#include <fmt/format.h>
#include <opencv2/core.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>
#include <thaw/data/batch.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/vision/contact_sheet.hpp>
#include <thaw/vision/image_source.hpp>
#include <thaw/vision/normalization.hpp>
#include <thaw/vision/overlay.hpp>

namespace thaw::vision {

/// What show_batch and show_results show.
struct ShowOptions {
  std::int64_t most = 16;          ///< images
  std::int64_t epoch = 0;          ///< whose random transforms are shown
  ContactSheetOptions sheet = {};  ///< how they are laid out
};

namespace detail {

/// What targets and outputs of a batch are, as text or as masks.
class Answers {
 public:
  Answers(const char* where, const at::Tensor& target, const std::vector<std::string>& classes)
      : target_(target.to(at::kCPU)), classes_(classes) {
    const bool whole = !at::isFloatingType(target.scalar_type());
    const auto n = std::ssize(classes);
    if (whole && target.dim() == 1)
      kind_ = Kind::label;
    else if (whole && target.dim() == 3)
      kind_ = Kind::mask;
    else if (!whole && target.dim() == 2 && n > 0 && target.size(1) == n)
      kind_ = Kind::labels;
    else
      throw DataError(where,
                      c10::str("targets ", target.sizes(), " of ", target.scalar_type(), ", and ", n, " classes"),
                      "give classes [N], masks [N, H, W], or numbers [N, classes] with the names of the classes");
  }

  [[nodiscard]] bool masks() const { return kind_ == Kind::mask; }

  [[nodiscard]] std::string target_text(std::int64_t i) const {
    return kind_ == Kind::label ? name(target_[i].item<std::int64_t>()) : names(target_[i]);
  }
  [[nodiscard]] cv::Mat target_mask(std::int64_t i) const { return bytes(target_[i]); }

  /// By logits: [N, classes], of masks [N, classes, H, W].
  [[nodiscard]] std::string output_text(const at::Tensor& logits, std::int64_t i) const {
    if (kind_ == Kind::labels) return names(logits[i].sigmoid());
    const at::Tensor p = logits[i].softmax(0);
    return fmt::format("{} {:.2f}", name(p.argmax().item<std::int64_t>()), p.max().item<double>());
  }
  [[nodiscard]] static cv::Mat output_mask(const at::Tensor& logits, std::int64_t i) {
    return bytes(logits[i].argmax(0));
  }

  /// Whether all that the image holds, and no more, is predicted.
  [[nodiscard]] bool is_right(const at::Tensor& logits, std::int64_t i) const {
    if (kind_ == Kind::labels) return target_text(i) == output_text(logits, i);
    return logits[i].argmax().item<std::int64_t>() == target_[i].item<std::int64_t>();
  }
  /// With the colours of masks, where the sheet shows some.
  [[nodiscard]] ContactSheetOptions with_legend(ContactSheetOptions sheet) const {
    if (masks() && sheet.legend.empty()) sheet.legend = class_legend(classes_);
    return sheet;
  }

 private:
  enum class Kind : std::int8_t { label, labels, mask };

  [[nodiscard]] std::string name(std::int64_t label) const {
    const auto i = static_cast<std::size_t>(label);
    return label >= 0 && i < classes_.size() ? classes_[i] : std::to_string(label);
  }
  [[nodiscard]] std::string names(const at::Tensor& probabilities) const {
    std::vector<std::string> held;
    for (std::int64_t c = 0; c < probabilities.numel(); ++c)
      if (probabilities[c].item<double>() >= 0.5) held.push_back(name(c));
    return held.empty() ? "-" : join_names(held);
  }
  [[nodiscard]] static cv::Mat bytes(const at::Tensor& mask) {
    const at::Tensor values = mask.to(at::kByte).contiguous();
    return cv::Mat(static_cast<int>(values.size(0)), static_cast<int>(values.size(1)), CV_8U, values.data_ptr())
        .clone();
  }

  at::Tensor target_;
  std::vector<std::string> classes_;
  Kind kind_;
};

/// The samples of these numbers in one batch, or the first of an epoch.
[[nodiscard]] inline Batch shown_batch(const ImageSource& source, const ShowOptions& options,
                                       const std::optional<at::Tensor>& numbers) {
  if (options.most < 1) throw ConfigError("show", "most is " + std::to_string(options.most), "give 1 or more");
  ImageSourceOptions of = numbers ? source.subset(*numbers).options() : source.options();
  of.batch_size = std::min(options.most, of.images.size());
  of.shuffle = of.shuffle && !numbers;
  of.drop_last = false;
  of.workers = 0;
  if (numbers) of.weights = at::Tensor();
  return ImageSource(std::move(of)).stream(options.epoch)().value();
}

}  // namespace detail

/// The first images of a batch as the network sees them, after all transforms, in colours again: a sheet with the class
/// below each image, the classes where several may be true, or the mask upon it. For what a callback makes of a batch
/// (on_batch_ready), and for sources that are no ImageSource. Throws DataError for other targets.
[[nodiscard]] inline cv::Mat show_batch(const Batch& batch, const Normalization& normalization,
                                        const std::vector<std::string>& classes, const ShowOptions& options = {}) {
  const at::Tensor& images = batch.input;
  const detail::Answers answers("show_batch", batch.target, classes);
  std::vector<Tile> tiles;
  for (std::int64_t i = 0; i < std::min(options.most, images.size(0)); ++i) {
    const cv::Mat image = to_image(images[i], normalization);
    if (answers.masks())
      tiles.push_back({overlay(image, answers.target_mask(i))});
    else
      tiles.push_back({image, answers.target_text(i)});
  }
  return contact_sheet(tiles, answers.with_legend(options.sheet));
}

/// The first images of an epoch, in its order.
/// Example: `write_image(show_batch(train), "batch.png");`
[[nodiscard]] inline cv::Mat show_batch(const ImageSource& source, const ShowOptions& options = {}) {
  return show_batch(detail::shown_batch(source, options, std::nullopt), source.options().normalization,
                    source.images().classes, options);
}

/// Targets, and what the model makes of the images, in evaluation mode: below each image its class, then the predicted
/// one with its probability; of several classes those with a probability of 0.5 or more; of masks two images, the
/// target and the prediction. Frames tell right from wrong, as those of loss_tiles. The model's outputs are logits.
/// Throws DataError for other targets.
[[nodiscard]] inline cv::Mat show_results(Learner& learner, const Batch& batch, const Normalization& normalization,
                                          const std::vector<std::string>& classes, ShowOptions options = {}) {
  const at::Tensor& images = batch.input;
  const detail::Answers answers("show_results", batch.target, classes);
  const at::Tensor logits = learner.predict(batch.input).to(at::kCPU, at::kFloat);
  std::vector<Tile> tiles;
  for (std::int64_t i = 0; i < std::min(options.most, images.size(0)); ++i) {
    const cv::Mat image = to_image(images[i], normalization);
    if (answers.masks()) {
      tiles.push_back({overlay(image, answers.target_mask(i)), "target"});
      tiles.push_back({overlay(image, detail::Answers::output_mask(logits, i)), "prediction"});
    } else {
      tiles.push_back(
          {image, answers.target_text(i) + "\n" + answers.output_text(logits, i), answers.is_right(logits, i)});
    }
  }
  if (options.sheet.columns == 0 && answers.masks())  // a target beside its prediction
    options.sheet.columns =
        2 * std::max(1, static_cast<int>(std::lround(std::sqrt(static_cast<double>(tiles.size()) / 4))));
  return contact_sheet(tiles, answers.with_legend(options.sheet));
}

/// The same of so many images of a source, evenly from its whole list, so that all classes are there.
/// Example: `write_image(show_results(learner, valid), "results.png");`
[[nodiscard]] inline cv::Mat show_results(Learner& learner, const ImageSource& source,
                                          const ShowOptions& options = {}) {
  const std::int64_t n = source.samples(), shown = std::clamp<std::int64_t>(options.most, 1, n);
  const at::Tensor numbers = at::arange(shown, at::kLong).mul(n).div(shown, "floor");
  return show_results(learner, detail::shown_batch(source, options, numbers), source.options().normalization,
                      source.images().classes, options);
}

}  // namespace thaw::vision
