// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstdint>

#include <thaw/data/batch.hpp>

namespace thaw {

/// One of several shares of every batch: what one of several processes trains on. `index` is below `count`.
struct Shard {
  std::int64_t index = 0;
  std::int64_t count = 1;

  /// Of samples in a row: [first, last).
  struct Range {
    std::int64_t first, last;
    bool stand_in;  ///< there are fewer samples than shards, and this one is another's
  };

  [[nodiscard]] bool all() const { return count == 1; }

  /// Its share of [first, last): shares differ by one sample at most, the first ones are the larger.
  [[nodiscard]] Range of(std::int64_t first, std::int64_t last) const {
    const std::int64_t n = last - first, each = n / count, longer = n % count;
    const std::int64_t from = first + index * each + std::min(index, longer);
    const std::int64_t to = from + each + (index < longer ? 1 : 0);
    return from < to || n == 0 ? Range{from, to, false} : Range{first, first + 1, true};
  }

  /// How many of `samples` numbers are its own, where sample i belongs to shard i % count.
  [[nodiscard]] std::int64_t numbers(std::int64_t samples) const { return (samples - index + count - 1) / count; }
};

/// A shard of a batch. Where that has fewer samples than there are shards, some get a stand-in: see Batch.
[[nodiscard]] inline Batch shard_of(const Batch& whole, const Shard& shard) {
  if (shard.all()) return whole;
  const Shard::Range own = shard.of(0, whole.size());
  const auto slice = [&](const at::Tensor& all) { return all.slice(0, own.first, own.last); };
  return {.input = whole.input.map(slice), .target = whole.target.map(slice), .stand_in = own.stand_in};
}

}  // namespace thaw
