// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Ranges of batches: what can be known of them, and passes over them.

#include <concepts>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/data/batch.hpp>

namespace torch::data::samplers {
class SequentialSampler;  // its header takes long to compile
}

namespace thaw::detail {

template <class Range>
using iterator_t = std::remove_cvref_t<decltype(std::declval<Range&>().begin())>;

template <class Range>
using element_t = std::remove_cvref_t<decltype(*std::declval<Range&>().begin())>;

// LibTorch's iterators are no std::input_iterator: ask only for what a range-for needs.
template <class Range>
concept BatchRange = requires(Range& range) {
  { range.begin() != range.end() } -> std::convertible_to<bool>;
  typename element_t<Range>;
};

template <class Range>
concept RangeOfBatches = BatchRange<Range> && BatchLike<element_t<Range>>;

/// Passes do not disturb each other, as over a container. Of a range that does not say so, one runs at a time.
template <class Range>
concept HasManyPasses = std::forward_iterator<iterator_t<Range>>;

/// Its type says that it has no end.
template <class Range>
concept Endless =
    std::same_as<std::remove_cvref_t<decltype(std::declval<Range&>().end())>, std::unreachable_sentinel_t>;

/// The sampler of LibTorch's StatelessDataLoader, else void.
template <class Range>
struct Sampler {
  using type = void;
};
template <template <class, class> class Loader, class Dataset, class S>
  requires requires(const Loader<Dataset, S>& loader) { loader.options().enforce_ordering; }
struct Sampler<Loader<Dataset, S>> {
  using type = S;
};

/// Whether each pass gives every sample once, in the same order. A range may say so itself: `bool ordered() const`.
template <class Range>
bool is_ordered(const Range& range) {
  if constexpr (requires {
                  { range.ordered() } -> std::convertible_to<bool>;
                })
    return range.ordered();
  else if constexpr (std::same_as<typename Sampler<std::remove_const_t<Range>>::type,
                                  torch::data::samplers::SequentialSampler>)
    return !range.options().drop_last && (range.options().workers == 0 || range.options().enforce_ordering);
  else
    return HasManyPasses<const Range> || HasManyPasses<Range>;
}

/// Of the samples in a batch that may be anything; 0 where that cannot be said.
std::int64_t size_of(const Batch& batch);

/// The smaller of both, where there are two.
std::optional<std::int64_t> smaller(const std::optional<std::int64_t>& a, std::int64_t b);

/// Samples of the smallest batch of a sized range. Where batches are made as they are asked for, only the last is.
template <class Range, class AsBatch>
std::optional<std::int64_t> smallest_of(Range& range, const AsBatch& as_batch, bool cheap) {
  std::optional<std::int64_t> smallest;
  auto next = range.begin();
  for (auto left = static_cast<std::int64_t>(std::size(range)); left > 0; --left, ++next)
    if (cheap || left == 1) smallest = smaller(smallest, size_of(as_batch(*next)));
  return smallest;
}

/// Of a range that has one pass at a time: whoever holds the same range has the same record of it.
struct OnePass {
  std::weak_ptr<const void> running;
  bool left_open = false;  // a pass that had no end within reach was given up
};

/// The record, as long as one of them has it.
std::shared_ptr<OnePass> one_pass_of(const std::shared_ptr<const void>& range);

/// LibTorch's loader with workers refuses a new pass before the last one has ended.
template <class Range>
bool must_be_exhausted(const Range& range) {
  if constexpr (requires { range.options().workers; })
    return range.options().workers > 0;
  else
    return false;
}

/// A pass over the range, of which no more than `most` batches are drawn when it is given up.
template <class Range, class AsBatch>
BatchStream range_stream(std::shared_ptr<Range> range, AsBatch as_batch, std::shared_ptr<OnePass> one_pass,
                         std::int64_t most) {
  struct State {
    std::shared_ptr<Range> range;
    std::shared_ptr<OnePass> one_pass;
    std::int64_t left;  // to `most`
    decltype(range->begin()) next = range->begin();
    decltype(range->end()) end = range->end();
    std::shared_ptr<const void> running = std::make_shared<char>();
    bool fresh = true;  // LibTorch's data loader fetches on ++, so it is called only when a batch is asked for

    State(std::shared_ptr<Range> r, std::shared_ptr<OnePass> o, std::int64_t most_)
        : range(std::move(r)), one_pass(std::move(o)), left(most_) {
      one_pass->running = running;
    }
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() {
      if (must_be_exhausted(*range)) try {
          while (left >= 0 && advance()) {
          }
          one_pass->left_open = running != nullptr;
        } catch (...) {  // NOLINT(bugprone-empty-catch): it belongs to a batch that nobody asked for
        }
    }
    bool advance() {
      if (!running) return false;
      if (next != end && !std::exchange(fresh, false)) ++next;
      if (!(next != end)) running.reset();
      --left;
      return running != nullptr;
    }
  };
  if (!HasManyPasses<Range> && !one_pass->running.expired())
    throw ConfigError("data source",
                      "a pass over it has begun and not ended, and it has one at a time, as LibTorch's DataLoader",
                      "give a loader of its own to each: training, validation, and what a callback looks at; or let go "
                      "of a BatchStream before you ask for the next");
  if (one_pass->left_open)
    throw ConfigError("data source", "a DataLoader with workers that does not end cannot begin a new pass",
                      "let it end where an epoch does, or take workers(0)");
  return [state = std::make_shared<State>(std::move(range), std::move(one_pass), most),
          as_batch]() -> std::optional<Batch> {
    if (!state->advance()) return std::nullopt;
    return as_batch(*state->next);
  };
}

/// A pass of which i batches are over, and which has `batches` together. At a longer one it ends there, or throws
/// DataError, as at a shorter one. One without any says nothing: who asked knows what it was for.
BatchStream of_length(BatchStream pass, std::int64_t i, std::int64_t batches, bool ends_there);

}  // namespace thaw::detail

#if THAW_DEFINES(data)

namespace thaw::detail {

THAW_INLINE std::int64_t size_of(const Batch& batch) {
  return batch.input.empty() || batch.input[0].dim() == 0 ? 0 : batch.size();
}

THAW_INLINE std::optional<std::int64_t> smaller(const std::optional<std::int64_t>& a, std::int64_t b) {
  return a && *a < b ? *a : b;
}

THAW_INLINE std::shared_ptr<OnePass> one_pass_of(const std::shared_ptr<const void>& range) {
  static std::mutex mutex;
  static std::map<std::weak_ptr<const void>, std::weak_ptr<OnePass>, std::owner_less<>> all;
  const std::scoped_lock lock(mutex);
  std::erase_if(all, [](const auto& each) { return each.first.expired(); });
  std::weak_ptr<OnePass>& known = all[range];
  std::shared_ptr<OnePass> record = known.lock();
  if (!record) known = record = std::make_shared<OnePass>();
  return record;
}

THAW_INLINE BatchStream of_length(BatchStream pass, std::int64_t i, std::int64_t batches, bool ends_there) {
  struct State {
    BatchStream pass;
    std::int64_t given;
  };
  const auto wrong = [batches](const std::string& came) {
    return DataError("data source", "a pass gave " + came + ", and " + std::to_string(batches) + " were expected",
                     "let each pass have as many batches as it says or as were counted; or say after how many an epoch "
                     "ends: thaw::DataSource(range, batches)");
  };
  return [state = std::make_shared<State>(State{.pass = std::move(pass), .given = i}), i, batches, ends_there,
          wrong]() -> std::optional<Batch> {
    if (!state->pass) return std::nullopt;
    std::optional<Batch> batch;
    if (state->given < batches || !ends_there) batch = state->pass();
    if (batch && state->given < batches) return ++state->given, batch;
    state->pass = {};  // another pass may begin
    if (batch) throw wrong("more batches");
    if (state->given > 0 && state->given < batches)
      throw wrong((state->given == i ? "at most " : "") + std::to_string(state->given) + " batches");
    return std::nullopt;
  };
}

}  // namespace thaw::detail

#endif
