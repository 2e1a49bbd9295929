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
/// every k-th one, in batches. Of several processes each takes its shard's part. Random generators are left as they
/// were. Costs a pass over the data, and holds a batch at a time beside the sample.
[[nodiscard]] inline std::vector<Batch> spread_sample(const DataSource& source, std::int64_t samples,
                                                      const Shard& shard = {}) {
  if (samples < 1) throw ConfigError("spread_sample", std::to_string(samples) + " samples", "ask for at least one");
  const RandomState random;
  const std::int64_t count = source.batches();
  std::vector<Batch> sample;
  std::int64_t every = 0, skip = 0;
  for (BatchStream next = source.stream(0, 0, shard); const std::optional<Batch> batch = next();) {
    if (every == 0) every = std::max<std::int64_t>(1, batch->size() * shard.count * count / samples);
    const std::int64_t first = skip;
    if (first < batch->size()) {
      const auto rows = [&](const at::Tensor& all) { return all.slice(0, first, all.size(0), every).clone(); };
      sample.push_back(
          {.input = batch->input.map(rows), .target = batch->target.map(rows), .stand_in = batch->stand_in});
      skip += sample.back().size() * every;
    }
    skip -= batch->size();
  }
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
