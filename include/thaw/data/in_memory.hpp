#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/randperm.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include <thaw/core/error.hpp>
#include <thaw/data/source.hpp>

namespace thaw {

/// What an InMemory source is made of. `input` and `target` are one tensor each, or several (see FieldsLike), with one
/// sample per entry of their first dimension.
struct InMemoryOptions {
  Fields input;
  Fields target;
  std::int64_t batch_size = 64;
  bool shuffle = false;
  std::uint64_t seed = 0;  ///< with the epoch it fixes the order; the global generator is not touched
  bool drop_last = false;  ///< leave out a last batch that is not full
  std::function<Fields(const Fields&)> transform = {};  ///< of a batch's input: resize, normalise, augment
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

  [[nodiscard]] const Fields& targets() const { return options_.target; }

  /// One pass. The order depends on seed and epoch alone.
  [[nodiscard]] BatchStream stream(std::int64_t epoch) const { return stream(order(epoch), batches()); }

  /// Every sample once, in the order of the tensors, also those that `drop_last` leaves out.
  [[nodiscard]] BatchStream in_order() const {
    return stream({}, (samples() + options_.batch_size - 1) / options_.batch_size);
  }

  /// The same samples in the same batches, with another input for each, which is taken as it is.
  [[nodiscard]] InMemory with_input(Fields input) const {
    InMemoryOptions options = options_;
    options.input = std::move(input);
    options.transform = {};
    return InMemory(std::move(options));
  }

 private:
  /// The first n batches of the samples in this order, or as they are.
  [[nodiscard]] BatchStream stream(at::Tensor order, std::int64_t n) const {
    return [o = options_, order = std::move(order), n, i = std::int64_t{0}]() mutable -> std::optional<Batch> {
      if (i == n) return std::nullopt;
      const std::int64_t from = o.batch_size * i++, to = std::min(from + o.batch_size, o.input[0].size(0));
      const at::Tensor samples = order.defined() ? order.slice(0, from, to) : order;
      const auto gather = [&](const at::Tensor& all) {
        if (!samples.defined()) return all.slice(0, from, to).clone();  // a model may work in place
        return all.index_select(0, samples.device() == all.device() ? samples : samples.to(all.device()));
      };
      Fields input = o.input.map(gather);
      return Batch{.input = o.transform ? o.transform(input) : std::move(input), .target = o.target.map(gather)};
    };
  }

  [[nodiscard]] at::Tensor order(std::int64_t epoch) const {
    if (!options_.shuffle) return {};
    constexpr std::uint64_t golden_ratio = 0x9E3779B97F4A7C15;  // spreads consecutive epochs over the seeds
    auto generator = at::make_generator<at::CPUGeneratorImpl>(options_.seed ^
                                                              (golden_ratio * static_cast<std::uint64_t>(epoch + 1)));
    return at::randperm(samples(), generator, at::kLong);
  }

  InMemoryOptions options_;
};

}  // namespace thaw
