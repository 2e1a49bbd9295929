// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/random_state.hpp>
#include <thaw/data/source.hpp>

namespace thaw {

/// About `samples` samples of a source, spread evenly over one pass, since many validation sets are sorted by class:
/// every k-th one, in batches. Of several processes each takes its shard's part. What it gives are views of the
/// source's batches.
class Spread {
 public:
  Spread(const DataSource& source, std::int64_t samples, const Shard& shard = {})
      : samples_(samples), shards_(shard.count) {
    if (samples < 1) throw ConfigError("spread_sample", std::to_string(samples) + " samples", "ask for at least one");
    batches_ = source.batches();
    next_ = source.stream(0, 0, shard);
  }

  [[nodiscard]] std::optional<Batch> next() {
    while (const std::optional<Batch> batch = next_()) {
      if (every_ == 0) every_ = std::max<std::int64_t>(1, batch->size() * shards_ * batches_ / samples_);
      const std::int64_t first = skip_;
      skip_ -= batch->size();
      if (skip_ >= 0) continue;
      const auto rows = [&](const at::Tensor& all) { return all.slice(0, first, all.size(0), every_); };
      Batch some{.input = batch->input.map(rows), .target = batch->target.map(rows), .stand_in = batch->stand_in};
      skip_ += some.size() * every_;
      return some;
    }
    return std::nullopt;
  }

  /// k, once the first batch was seen.
  [[nodiscard]] std::int64_t every() const { return every_; }

 private:
  BatchStream next_;
  std::int64_t samples_, shards_, batches_ = 0;
  std::int64_t every_ = 0, skip_ = 0;  // samples to leave out before the next one
};

/// Such samples, kept. Random generators are left as they were. Costs a pass over the data, and holds a batch at a time
/// beside the sample.
[[nodiscard]] inline std::vector<Batch> spread_sample(const DataSource& source, std::int64_t samples,
                                                      const Shard& shard = {}) {
  const RandomState random;
  const auto copy = [](const at::Tensor& some) { return some.clone(); };
  std::vector<Batch> sample;
  Spread spread(source, samples, shard);
  while (const std::optional<Batch> some = spread.next())
    sample.push_back({.input = some->input.map(copy), .target = some->target.map(copy), .stand_in = some->stand_in});
  source.restart();
  return sample;
}

/// A pass over batches that are there already.
[[nodiscard]] inline BatchStream stream_of(std::shared_ptr<const std::vector<Batch>> batches) {
  return [batches = std::move(batches), i = std::size_t{0}]() mutable -> std::optional<Batch> {
    return i < batches->size() ? std::optional((*batches)[i++]) : std::nullopt;
  };
}

}  // namespace thaw
