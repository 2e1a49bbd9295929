// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/randperm.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/mixed_seed.hpp>
#include <thaw/data/sample_order.hpp>
#include <thaw/data/source.hpp>
#include <thaw/text/pad.hpp>
#include <thaw/text/tokens.hpp>

namespace thaw::text {

struct TextSourceOptions {
  std::vector<Tokens> texts = {};  ///< WordPiece::encode makes them
  at::Tensor target = {};          ///< [texts] or [texts, ...]
  std::int64_t padding = 0;        ///< what fills up shorter texts: WordPiece::padding()
  std::int64_t batch_size = 32;
  bool shuffle = false;
  std::uint64_t seed = 0;    ///< with the epoch it fixes the order; the global generator is not touched
  bool drop_last = false;    ///< leave out a last batch that is not full
  std::int64_t bucket = 20;  ///< shuffled, texts of so many batches are put into them by length; 1: by chance
  std::vector<std::string> classes = {};  ///< LabelledTexts::classes: a Learner refuses those of training and
                                          ///< validation that differ
};

/// Texts in batches, each batch as long as its longest text: input_ids, attention_mask and token_type_ids, in the order
/// in which BERT takes them. An EpochSource, whose texts can also be had in order.
///
/// Shuffled, texts of about one length come together, so that little is computed on padding: the epoch's order is cut
/// into lots of `bucket` batches, each lot is sorted by length and cut into batches, and those come in random order. A
/// last batch that is not full stays the last, and is not sorted into any lot. Not shuffled, texts come as they are.
class TextSource {
 public:
  /// Throws DataError where there is no text, a text has no token, or targets are not one per text.
  explicit TextSource(TextSourceOptions options)
      : order_{.samples = std::ssize(options.texts),
               .batch_size = options.batch_size,
               .shuffle = options.shuffle,
               .seed = options.seed,
               .drop_last = options.drop_last},
        bucket_(options.bucket),
        data_(std::make_shared<const TextSourceOptions>(std::move(options))) {
    order_.check("TextSource");
    if (bucket_ < 1) throw DataError("TextSource", "bucket is " + std::to_string(bucket_), "give at least 1");
    const at::Tensor& target = data_->target;
    if (!target.defined() || target.dim() == 0 || target.size(0) != order_.samples)
      throw DataError("TextSource",
                      std::to_string(order_.samples) + " texts, but " +
                          std::to_string(target.defined() && target.dim() > 0 ? target.size(0) : 0) + " targets",
                      "give one target per text");
    for (std::size_t i = 0; i < data_->texts.size(); ++i)
      if (data_->texts[i].ids.empty())
        throw DataError("TextSource", "text " + std::to_string(i) + " has no tokens",
                        "leave it out, or encode() it, which gives [CLS] and [SEP] even to an empty one");
  }

  [[nodiscard]] std::int64_t samples() const { return order_.samples; }
  [[nodiscard]] std::int64_t batches() const { return order_.batches(); }
  /// Samples of the last batch.
  [[nodiscard]] std::int64_t last_batch() const { return order_.last_batch(); }
  [[nodiscard]] Fields targets() const { return data_->target; }
  /// The names of the targets' classes; empty where they were not given.
  [[nodiscard]] const std::vector<std::string>& classes() const { return data_->classes; }

  /// One pass, from its i-th batch on; of each batch a shard, as long as that one's longest text. The order depends on
  /// seed and epoch alone.
  [[nodiscard]] BatchStream stream(std::int64_t epoch, std::int64_t i = 0, const Shard& shard = {}) const {
    return stream(order_, samples_of(epoch), i, shard);
  }
  /// Every text once, in the order in which they were given, also those that `drop_last` leaves out.
  [[nodiscard]] BatchStream in_order() const { return stream(order_.numbers({}), as_given(), 0, {}); }

 private:
  [[nodiscard]] BatchStream stream(const SampleOrder& batches, std::vector<std::int64_t> texts_in_order, std::int64_t i,
                                   const Shard& shard) const {
    return [data = data_, order = batches, samples = std::move(texts_in_order), i,
            shard]() mutable -> std::optional<Batch> {
      if (i >= order.batches()) return std::nullopt;
      const auto [from, to, stand_in] = order.range(i++, shard);
      std::vector<std::int64_t> here(samples.begin() + from, samples.begin() + to);
      std::vector<Tokens> texts;
      texts.reserve(here.size());
      for (const std::int64_t sample : here) texts.push_back(data->texts[static_cast<std::size_t>(sample)]);
      const at::Tensor index = at::from_blob(here.data(), {std::ssize(here)}, at::kLong);
      return Batch{.input = pad(texts, data->padding),
                   .target = data->target.index_select(0, index.to(data->target.device())),
                   .stand_in = stand_in};
    };
  }

  [[nodiscard]] std::vector<std::int64_t> as_given() const {
    std::vector<std::int64_t> samples(data_->texts.size());
    std::iota(samples.begin(), samples.end(), std::int64_t{0});
    return samples;
  }

  /// The numbers of an epoch's texts in their order.
  [[nodiscard]] std::vector<std::int64_t> samples_of(std::int64_t epoch) const {
    std::vector<std::int64_t> samples = as_given();
    if (!order_.shuffle) return samples;
    copy(order_.of_epoch(epoch), samples);
    if (bucket_ == 1) return samples;

    const std::int64_t full = order_.samples / order_.batch_size, lot = bucket_ * order_.batch_size;
    const auto length = [&](std::int64_t sample) { return data_->texts[static_cast<std::size_t>(sample)].ids.size(); };
    for (std::int64_t from = 0; from < full * order_.batch_size; from += lot) {
      const auto begin = samples.begin() + from, end = samples.begin() + std::min(from + lot, full * order_.batch_size);
      std::ranges::stable_sort(begin, end, {}, length);
    }
    std::vector<std::int64_t> batches(static_cast<std::size_t>(full)), result;
    const std::uint64_t seed = seed_of(mixed_seed(order_.seed, epoch), full);
    copy(at::randperm(full, at::make_generator<at::CPUGeneratorImpl>(seed), at::kLong), batches);
    result.reserve(samples.size());
    for (const std::int64_t batch : batches)
      result.insert(result.end(), samples.begin() + order_.first_of(batch), samples.begin() + order_.last_of(batch));
    result.insert(result.end(), samples.begin() + full * order_.batch_size, samples.end());
    return result;
  }

  static void copy(const at::Tensor& from, std::vector<std::int64_t>& to) {
    std::copy_n(from.const_data_ptr<std::int64_t>(), from.numel(), to.begin());
  }

  SampleOrder order_;
  std::int64_t bucket_;
  std::shared_ptr<const TextSourceOptions> data_;  // shared by passes and copies
};

static_assert(EpochSource<TextSource>);

}  // namespace thaw::text
