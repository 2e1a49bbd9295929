#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/randperm.h>

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>

#include <thaw/core/error.hpp>
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
    const auto& [input, target, batch_size, shuffle, seed, drop_last, transform] = options_;
    for (const Fields* side : {&input, &target})
      if (side->empty() ||
          std::ranges::any_of(*side, [](const at::Tensor& t) { return t.dim() == 0 || t.size(0) == 0; }))
        throw DataError("InMemory", "there are no samples",
                        "give input and target tensors with samples along dimension 0");
    for (const Fields* side : {&input, &target})
      for (const at::Tensor& tensor : *side)
        if (tensor.size(0) != samples())
          throw DataError("InMemory",
                          std::to_string(samples()) + " inputs, but " + std::to_string(tensor.size(0)) +
                              (side == &target ? " targets" : " of another input"),
                          "give one target per input");
    if (batch_size < 1) throw DataError("InMemory", "batch_size is " + std::to_string(batch_size), "give at least 1");
    if (batches() == 0)
      throw DataError("InMemory",
                      std::to_string(samples()) + " samples do not fill one batch of " + std::to_string(batch_size),
                      "lower batch_size, or do not drop the last batch");
  }

  [[nodiscard]] std::int64_t samples() const { return options_.input[0].size(0); }

  [[nodiscard]] std::int64_t batches() const {
    return options_.drop_last ? samples() / options_.batch_size
                              : (samples() + options_.batch_size - 1) / options_.batch_size;
  }

  /// Samples of the last batch.
  [[nodiscard]] std::int64_t last_batch() const {
    const std::int64_t rest = samples() % options_.batch_size;
    return rest == 0 || options_.drop_last ? options_.batch_size : rest;
  }

  [[nodiscard]] const Fields& targets() const { return options_.target; }

  /// One pass, from its i-th batch on. The order depends on seed and epoch alone.
  [[nodiscard]] BatchStream stream(std::int64_t epoch, std::int64_t i = 0) const {
    return stream(order(epoch), mixed(epoch), i, batches());
  }

  /// Every sample once, in the order of the tensors, also those that `drop_last` leaves out; transformed as in the
  /// epoch of that number.
  [[nodiscard]] BatchStream in_order(std::int64_t pass = 0) const {
    return stream({}, mixed(pass), 0, (samples() + options_.batch_size - 1) / options_.batch_size);
  }

  /// The same samples in the same batches, with another input for each, which is taken as it is.
  [[nodiscard]] InMemory with_input(Fields input) const {
    InMemoryOptions options = options_;
    options.input = std::move(input);
    options.transform = {};
    return InMemory(std::move(options));
  }

 private:
  /// Batches [i, n) of the samples in this order, or as they are.
  [[nodiscard]] BatchStream stream(at::Tensor order, std::uint64_t seed, std::int64_t i, std::int64_t n) const {
    return [o = options_, order = std::move(order), seed, i, n]() mutable -> std::optional<Batch> {
      if (i >= n) return std::nullopt;
      const std::uint64_t batch_seed = scattered(scattered(seed) + static_cast<std::uint64_t>(i));
      const std::int64_t from = o.batch_size * i++, to = std::min(from + o.batch_size, o.input[0].size(0));
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

  [[nodiscard]] at::Tensor order(std::int64_t epoch) const {
    if (!options_.shuffle) return {};
    return at::randperm(samples(), at::make_generator<at::CPUGeneratorImpl>(mixed(epoch)), at::kLong);
  }

  /// Seed and epoch in one number.
  [[nodiscard]] std::uint64_t mixed(std::int64_t epoch) const {
    constexpr std::uint64_t golden_ratio = 0x9E3779B97F4A7C15;  // spreads consecutive epochs over the seeds
    return options_.seed ^ (golden_ratio * static_cast<std::uint64_t>(epoch + 1));
  }

  /// Neighbouring numbers far apart: the last step of splitmix64 (Steele, Lea and Flood 2014).
  [[nodiscard]] static std::uint64_t scattered(std::uint64_t x) {
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
    return x ^ (x >> 31);
  }

  InMemoryOptions options_;
};

}  // namespace thaw
