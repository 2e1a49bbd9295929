// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>

#include <thaw/core/accelerator.hpp>
#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/core/mixed_seed.hpp>
#include <thaw/data/sample_order.hpp>
#include <thaw/data/source.hpp>

namespace thaw {

/// Changes a batch's input: resizes, normalises, augments. Any `f(input)` that gives what FieldsLike takes, or
/// `f(input, generator)`, whose random numbers then depend on seed, epoch and batch alone: on no other draw, and not on
/// the thread that it runs in. The generator is the CPU's kind: for data on another device draw on the CPU, then move.
class Transform {
 public:
  Transform() = default;
  template <class F>
    requires(!std::same_as<F, Transform> && std::copy_constructible<F> &&
             (std::is_invocable_r_v<Fields, F&, const Fields&> ||
              std::is_invocable_r_v<Fields, F&, const Fields&, at::Generator>))
  Transform(F f) {
    if constexpr (std::is_invocable_r_v<Fields, F&, const Fields&>) {
      std::function<Fields(const Fields&)> run(std::move(f));
      if (run) run_ = [run = std::move(run)](const Fields& input, std::uint64_t) { return run(input); };
    } else {
      std::function<Fields(const Fields&, at::Generator)> run(std::move(f));
      if (run)
        run_ = [run = std::move(run)](const Fields& input, std::uint64_t seed) {
          return run(input, at::make_generator<at::CPUGeneratorImpl>(seed));
        };
    }
  }

  [[nodiscard]] explicit operator bool() const { return static_cast<bool>(run_); }
  [[nodiscard]] Fields operator()(const Fields& input, std::uint64_t seed) const { return run_(input, seed); }

 private:
  std::function<Fields(const Fields&, std::uint64_t seed)> run_;
};

/// What an InMemory source is made of. `input` and `target` are one tensor each, or several (see FieldsLike), with one
/// sample per entry of their first dimension.
struct InMemoryOptions {
  Fields input;
  Fields target;
  std::int64_t batch_size = 64;
  bool shuffle = false;
  std::uint64_t seed = 0;    ///< with the epoch it fixes the order; the global generator is not touched
  bool drop_last = false;    ///< leave out a last batch that is not full
  Transform transform = {};  ///< of each batch's input
  /// [samples], how often each is drawn: balanced_weights(labels), say. See SampleOrder::weights.
  at::Tensor weights = {};
};

/// A data set that fits in memory: one gather per batch, no copy of the whole.
class InMemory {
 public:
  /// Throws DataError when there is no sample, or inputs and targets differ in number.
  explicit InMemory(InMemoryOptions options) : InMemory(std::move(options), Shard{}) {}

  [[nodiscard]] std::int64_t samples() const { return order_.samples; }
  [[nodiscard]] std::int64_t batches() const { return order_.batches(); }
  /// Samples of the last batch.
  [[nodiscard]] std::int64_t last_batch() const { return order_.last_batch(); }
  [[nodiscard]] const Fields& targets() const { return options_.target; }

  /// One pass, from its i-th batch on; of each batch a shard. The order depends on seed and epoch alone.
  [[nodiscard]] BatchStream stream(std::int64_t epoch, std::int64_t i = 0, const Shard& shard = {}) const {
    return stream(order_, order_.of_epoch(epoch), epoch, i, shard);
  }

  /// Every sample once, in the order of the tensors, also those that `drop_last` leaves out; transformed as in the
  /// epoch of that number. Of a shard those whose numbers are its own: see ShardedSource.
  [[nodiscard]] BatchStream in_order(std::int64_t pass = 0, const Shard& shard = {}) const;

  /// These samples alone, by their numbers (int64): a copy of them.
  [[nodiscard]] InMemory subset(const at::Tensor& numbers) const;

  /// The same samples in the same batches, with another input for each, which is taken as it is. Of a shard, inputs for
  /// the samples whose numbers are its own: of each batch it gives those.
  [[nodiscard]] InMemory with_input(Fields input, const Shard& shard = {}) const;

 private:
  InMemory(InMemoryOptions options, const Shard& inputs_of);

  /// The batches of the samples in this order, or as they are.
  [[nodiscard]] BatchStream stream(const SampleOrder& batches, at::Tensor order, std::int64_t epoch, std::int64_t i,
                                   const Shard& shard) const;

  /// Of each batch the samples that there are inputs of.
  [[nodiscard]] BatchStream stream_of_inputs(const SampleOrder& batches, at::Tensor order, std::int64_t i) const;

  static at::Tensor rows(const at::Tensor& all, const at::Tensor& numbers) {
    return all.index_select(0, send_to(all.device(), numbers));
  }

  InMemoryOptions options_;
  Shard inputs_;  // of which samples there are inputs
  SampleOrder order_;
};

}  // namespace thaw

#if THAW_DEFINES(data)

namespace thaw {

THAW_INLINE BatchStream InMemory::in_order(std::int64_t pass, const Shard& shard) const {
  const at::Tensor own = shard.all() ? at::Tensor() : at::arange(shard.index, samples(), shard.count, at::kLong);
  return stream(order_.numbers(shard), own, pass, 0, {});
}

THAW_INLINE InMemory InMemory::subset(const at::Tensor& numbers) const {
  InMemoryOptions options = options_;
  const auto own = [&](const at::Tensor& all) { return rows(all, numbers); };
  options.input = options.input.map(own);
  options.target = options.target.map(own);
  if (options.weights.defined()) options.weights = own(options.weights);
  return InMemory(std::move(options));
}

THAW_INLINE InMemory InMemory::with_input(Fields input, const Shard& shard) const {
  InMemoryOptions options = options_;
  options.input = std::move(input);
  options.transform = {};
  return InMemory(std::move(options), shard);
}

THAW_INLINE InMemory::InMemory(InMemoryOptions options, const Shard& inputs_of)
    : options_(std::move(options)), inputs_(inputs_of) {
  const Fields &input = options_.input, &target = options_.target;
  for (const Fields* side : {&input, &target})
    if (side->empty() || std::ranges::any_of(*side, [](const at::Tensor& t) { return t.dim() == 0 || t.size(0) == 0; }))
      throw DataError("InMemory", "there are no samples",
                      "give input and target tensors with samples along dimension 0");
  order_ = {.samples = target[0].size(0),
            .batch_size = options_.batch_size,
            .shuffle = options_.shuffle,
            .seed = options_.seed,
            .drop_last = options_.drop_last,
            .weights = options_.weights};
  const std::int64_t inputs = input[0].size(0);
  for (const Fields* side : {&input, &target})
    for (const at::Tensor& tensor : *side)
      if ((side == &input ? tensor.size(0) : inputs_.numbers(tensor.size(0))) != inputs)
        throw DataError("InMemory",
                        std::to_string(inputs) + " inputs, but " + std::to_string(tensor.size(0)) +
                            (side == &target ? " targets" : " of another input"),
                        "give one target per input");
  order_.check("InMemory");
}

THAW_INLINE BatchStream InMemory::stream(const SampleOrder& batches, at::Tensor order, std::int64_t epoch,
                                         std::int64_t i, const Shard& shard) const {
  if (!inputs_.all()) return stream_of_inputs(batches, std::move(order), i);
  if (order.defined()) order = send_to(options_.input[0].device(), order);
  const std::uint64_t seed = mixed_seed(options_.seed, epoch);
  return [o = options_, batches, order = std::move(order), seed, i, shard]() mutable -> std::optional<Batch> {
    if (i >= batches.batches()) return std::nullopt;
    const std::uint64_t batch_seed = seed_of(seed, i);
    const auto [from, to, stand_in] = batches.range(i++, shard);
    const at::Tensor samples = order.defined() ? order.slice(0, from, to) : order;
    const auto gather = [&, first = from, last = to](const at::Tensor& all) {
      if (!samples.defined()) return all.slice(0, first, last).clone();  // a model may work in place
      return rows(all, samples);
    };
    Fields input = o.input.map(gather);
    if (o.transform)  // shards of one batch draw other numbers
      input = o.transform(input, shard.all() ? batch_seed : seed_of(batch_seed, shard.index));
    return Batch{.input = std::move(input), .target = o.target.map(gather), .stand_in = stand_in};
  };
}

THAW_INLINE BatchStream InMemory::stream_of_inputs(const SampleOrder& batches, at::Tensor order, std::int64_t i) const {
  if (!order.defined()) order = at::arange(samples(), at::kLong);
  return [o = options_, batches, order, own = inputs_, i]() mutable -> std::optional<Batch> {
    if (i >= batches.batches()) return std::nullopt;
    const at::Tensor whole = order.slice(0, batches.first_of(i), batches.last_of(i));
    ++i;
    at::Tensor samples = whole.masked_select(whole.remainder(own.count).eq(own.index));
    const bool stand_in = samples.numel() == 0;
    if (stand_in) samples = at::full({1}, own.index, at::kLong);
    const at::Tensor among_own = samples.div(own.count, "floor");
    return Batch{.input = o.input.map([&](const at::Tensor& all) { return rows(all, among_own); }),
                 .target = o.target.map([&](const at::Tensor& all) { return rows(all, samples); }),
                 .stand_in = stand_in};
  };
}

}  // namespace thaw

#endif
