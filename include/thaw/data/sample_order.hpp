// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/multinomial.h>
#include <ATen/ops/randperm.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/core/mixed_seed.hpp>
#include <thaw/data/shard.hpp>

namespace thaw {

/// Which samples are in which batch: what sources that know their samples have in common.
struct SampleOrder {
  std::int64_t samples = 0;
  std::int64_t batch_size = 64;
  bool shuffle = false;
  std::uint64_t seed = 0;  ///< with the epoch it fixes the order; the global generator is not touched
  bool drop_last = false;  ///< leave out a last batch that is not full
  /// [samples], how often each is drawn, relative to the others: an epoch draws as many samples as there are, with
  /// replacement. Undefined: each once. As torch's WeightedRandomSampler.
  at::Tensor weights = {};

  /// Throws DataError where there is no sample or no batch, and for weights that nothing can be drawn by; `where` names
  /// the source.
  void check(const std::string& where) const;

  /// Of an epoch.
  [[nodiscard]] std::int64_t batches() const {
    return drop_last ? samples / batch_size : (samples + batch_size - 1) / batch_size;
  }
  /// Samples of an epoch's last batch.
  [[nodiscard]] std::int64_t last_batch() const;

  /// Where a batch begins.
  [[nodiscard]] std::int64_t first_of(std::int64_t batch) const { return batch * batch_size; }
  /// One behind its end.
  [[nodiscard]] std::int64_t last_of(std::int64_t batch) const {
    return std::min(first_of(batch) + batch_size, samples);
  }

  /// The same of a shard.
  [[nodiscard]] Shard::Range range(std::int64_t batch, const Shard& shard) const {
    return shard.of(first_of(batch), last_of(batch));
  }
  /// As many samples in a batch, in their own order, none left out, and only those whose numbers are a shard's: see
  /// ShardedSource.
  [[nodiscard]] SampleOrder numbers(const Shard& shard) const {
    return {.samples = shard.numbers(samples), .batch_size = batch_size};
  }

  /// [samples] of an epoch in their order, as numbers; undefined where that is theirs anyway. Depends on seed and epoch
  /// alone.
  [[nodiscard]] at::Tensor of_epoch(std::int64_t epoch) const;
};

}  // namespace thaw

#if THAW_DEFINES(data)

namespace thaw {

THAW_INLINE void SampleOrder::check(const std::string& where) const {
  if (samples < 1) throw DataError(where, "there are no samples", "give at least one");
  if (batch_size < 1) throw DataError(where, "batch_size is " + std::to_string(batch_size), "give at least 1");
  if (batches() == 0)
    throw DataError(where, std::to_string(samples) + " samples do not fill one batch of " + std::to_string(batch_size),
                    "lower batch_size, or do not drop the last batch");
  if (!weights.defined()) return;
  if (weights.dim() != 1 || weights.size(0) != samples)
    throw DataError(where,
                    std::to_string(weights.numel()) + " weights in " + std::to_string(weights.dim()) +
                        " dimension(s), and " + std::to_string(samples) + " samples",
                    "give one weight for each sample: [samples]");
  if (!(at::isfinite(weights).all().item<bool>() && weights.min().item<double>() >= 0 &&
        weights.max().item<double>() > 0))
    throw DataError(where, "weights are negative, not finite, or all 0", "give numbers from 0, one of them above");
}

THAW_INLINE std::int64_t SampleOrder::last_batch() const {
  const std::int64_t rest = samples % batch_size;
  return rest == 0 || drop_last ? batch_size : rest;
}

THAW_INLINE at::Tensor SampleOrder::of_epoch(std::int64_t epoch) const {
  if (!shuffle && !weights.defined()) return {};
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(mixed_seed(seed, epoch));
  if (weights.defined())
    return at::multinomial(weights.to(at::kCPU, at::kDouble), samples, /*replacement=*/true, generator);
  return at::randperm(samples, generator, at::kLong);
}

}  // namespace thaw

#endif
