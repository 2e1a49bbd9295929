#pragma once

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>

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
};

/// A data set that fits in memory: one gather per batch, no copy of the whole.
class InMemory {
 public:
  /// Throws DataError when there is no sample, or inputs and targets differ in number.
  explicit InMemory(InMemoryOptions options) : options_(std::move(options)) {
    const Fields &input = options_.input, &target = options_.target;
    for (const Fields* side : {&input, &target})
      if (side->empty() ||
          std::ranges::any_of(*side, [](const at::Tensor& t) { return t.dim() == 0 || t.size(0) == 0; }))
        throw DataError("InMemory", "there are no samples",
                        "give input and target tensors with samples along dimension 0");
    order_ = {.samples = input[0].size(0),
              .batch_size = options_.batch_size,
              .shuffle = options_.shuffle,
              .seed = options_.seed,
              .drop_last = options_.drop_last};
    for (const Fields* side : {&input, &target})
      for (const at::Tensor& tensor : *side)
        if (tensor.size(0) != samples())
          throw DataError("InMemory",
                          std::to_string(samples()) + " inputs, but " + std::to_string(tensor.size(0)) +
                              (side == &target ? " targets" : " of another input"),
                          "give one target per input");
    order_.check("InMemory");
  }

  [[nodiscard]] std::int64_t samples() const { return order_.samples; }
  [[nodiscard]] std::int64_t batches() const { return order_.batches(); }
  /// Samples of the last batch.
  [[nodiscard]] std::int64_t last_batch() const { return order_.last_batch(); }
  [[nodiscard]] const Fields& targets() const { return options_.target; }

  /// One pass, from its i-th batch on. The order depends on seed and epoch alone.
  [[nodiscard]] BatchStream stream(std::int64_t epoch, std::int64_t i = 0) const {
    return stream(order_.of_epoch(epoch), epoch, i, batches());
  }

  /// Every sample once, in the order of the tensors, also those that `drop_last` leaves out; transformed as in the
  /// epoch of that number.
  [[nodiscard]] BatchStream in_order(std::int64_t pass = 0) const { return stream({}, pass, 0, order_.all_batches()); }

  /// The same samples in the same batches, with another input for each, which is taken as it is.
  [[nodiscard]] InMemory with_input(Fields input) const {
    InMemoryOptions options = options_;
    options.input = std::move(input);
    options.transform = {};
    return InMemory(std::move(options));
  }

 private:
  /// Batches [i, n) of the samples in this order, or as they are.
  [[nodiscard]] BatchStream stream(at::Tensor order, std::int64_t epoch, std::int64_t i, std::int64_t n) const {
    const std::uint64_t seed = mixed_seed(options_.seed, epoch);
    return [o = options_, batches = order_, order = std::move(order), seed, i, n]() mutable -> std::optional<Batch> {
      if (i >= n) return std::nullopt;
      const std::uint64_t batch_seed = seed_of(seed, i);
      const std::int64_t from = batches.first_of(i), to = batches.last_of(i++);
      const at::Tensor samples = order.defined() ? order.slice(0, from, to) : order;
      const auto gather = [&](const at::Tensor& all) {
        if (!samples.defined()) return all.slice(0, from, to).clone();  // a model may work in place
        return all.index_select(0, samples.device() == all.device() ? samples : samples.to(all.device()));
      };
      Fields input = o.input.map(gather);
      return Batch{.input = o.transform ? o.transform(input, batch_seed) : std::move(input),
                   .target = o.target.map(gather)};
    };
  }

  InMemoryOptions options_;
  SampleOrder order_;
};

}  // namespace thaw
