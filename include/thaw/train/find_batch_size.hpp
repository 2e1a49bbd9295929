// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/data/source.hpp>
#include <thaw/train/learner.hpp>

namespace thaw {

/// Training data in batches of so many samples.
using DataOfBatchSize = std::function<DataSource(std::int64_t batch_size)>;

/// Which batch sizes find_batch_size tries.
struct BatchSizes {
  std::int64_t first = 2;  ///< it is doubled until a batch does not fit; then what lies between is halved
  std::int64_t max = 8192;
};

namespace detail {

std::int64_t find_batch_size(Learner& learner, const DataOfBatchSize& data, const Stage& stage, const BatchSizes& sizes,
                             std::vector<Callback> callbacks);

}  // namespace detail

/// The most samples per batch with which a stage fits into the device's memory, found by trying: two steps on the first
/// batch of `data(batch_size)`, forward, backward and update, and two more from each step on at which the stage thaws
/// something. Lightning's `Tuner.scale_batch_size`.
///
///     const auto data = [&](std::int64_t n) { return thaw::InMemory({.input = x, .target = y, .batch_size = n}); };
///     const std::int64_t n = thaw::find_batch_size(learner, data, {.freeze = thaw::Unfrozen{}});
///     learner.data({.train = data(n), .valid = valid});
///
/// `sizes.max`, or the number of samples, where all that fits. Nothing is left changed, as after find_lr; the copies of
/// weights and optimizer state that this takes are in the device's memory meanwhile, so that a little more may fit.
/// Callbacks that change a step take part. A larger batch needs another rate: find it anew.
///
/// Throws MemoryError where not even `sizes.first` samples fit. Throws ConfigError on the CPU, where the system ends a
/// program that takes too much memory, and in several processes: there, find in a single one what each can take.
template <class... Callbacks>
[[nodiscard]] std::int64_t find_batch_size(Learner& learner, const DataOfBatchSize& data, const Stage& stage = {},
                                           const BatchSizes& sizes = {}, Callbacks... callbacks) {
  return detail::find_batch_size(learner, data, stage, sizes, {Callback(std::move(callbacks))...});
}

}  // namespace thaw

#if THAW_DEFINES(train)

#include <algorithm>
#include <cstddef>
#include <exception>
#include <optional>
#include <string>

#include <thaw/core/error.hpp>
#include <thaw/core/out_of_memory.hpp>
#include <thaw/train/detail/first_steps.hpp>

namespace thaw::detail {

THAW_INLINE std::int64_t find_batch_size(Learner& learner, const DataOfBatchSize& data, const Stage& stage,
                                         const BatchSizes& sizes, std::vector<Callback> callbacks) {
  LearnerParts& parts = LearnerParts::of(learner);
  const std::string where = "find_batch_size";
  parts.refuse_in_callback("find_batch_size");
  check_grad_mode("find_batch_size");
  if (sizes.first < 1 || sizes.max < sizes.first)
    throw ConfigError(where, "sizes from " + std::to_string(sizes.first) + " to " + std::to_string(sizes.max),
                      "begin with 1 or more, and end with no less");
  if (learner.device().is_cpu())
    throw ConfigError(where, "the model is on the CPU, where a batch that does not fit ends the program",
                      "move the model to a GPU first, or choose a size by the time that an epoch takes");
  if (!learner.world().is_single())
    throw ConfigError(where, "several processes train together, and one alone would run out of memory",
                      "find it in a single process, and give batches of that size times the number of processes");
  callbacks = parts.setup.all_callbacks(std::move(callbacks));
  const Trial trial(parts);
  const PlannedStage planned = prepare(parts, {&stage, 1}, callbacks)[0];
  const auto fits = [&](std::int64_t size) {
    try {
      const std::optional<Batch> first = data(size).first();
      if (!first || first->size() < size) return false;
      const std::vector<Batch> step(static_cast<std::size_t>(planned.batches_per_step), *first);
      (void)first_steps(parts, stage, planned, callbacks, step);
      return true;
    } catch (const MemoryError&) {
      return false;
    } catch (const std::exception& error) {
      if (!is_out_of_memory(error)) throw;
      return false;
    }
  };
  std::int64_t most = 0, next = sizes.first;
  while (most < sizes.max && fits(next)) most = std::exchange(next, std::min(2 * next, sizes.max));
  if (most == 0)
    throw MemoryError(where, "not even " + std::to_string(sizes.first) + " samples make a batch that fits",
                      "begin with a smaller BatchSizes::first, freeze more, or see Recompute and Precision");
  for (std::int64_t least = next; least - most > 1;) {
    const std::int64_t middle = most + (least - most) / 2;
    (fits(middle) ? most : least) = middle;
  }
  return most;
}

}  // namespace thaw::detail

#endif
