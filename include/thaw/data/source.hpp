// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <c10/util/Exception.h>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/core/random_state.hpp>
#include <thaw/core/seconds_since.hpp>
#include <thaw/data/batch.hpp>
#include <thaw/data/detail/range.hpp>
#include <thaw/data/epoch_source.hpp>
#include <thaw/data/shard.hpp>

namespace thaw {

/// Where batches come from. Takes an EpochSource (thaw::InMemory), or any range of batches: a std::vector, LibTorch's
/// DataLoader (by std::unique_ptr, as make_data_loader returns it, or by std::shared_ptr). A range without `size()` is
/// run through once to count it, unless `batches` says how many it has: then each pass ends there, also of a range that
/// goes on for ever. Copies share the source.
///
/// A range whose iterators are no std::forward_iterator, as LibTorch's, has one pass at a time: to begin a second one
/// before the first has ended is a ConfigError. A pass with another number of batches than expected is a DataError.
class DataSource {
 public:
  /// What an IndexedSource can do.
  struct Indexed {
    std::int64_t samples;
    std::function<BatchStream(std::int64_t pass)> in_order;
    std::function<DataSource(Fields input)> with_input;
    /// Of a ShardedSource, else empty.
    std::function<BatchStream(std::int64_t pass, const Shard& shard)> shard_in_order = {};
    std::function<DataSource(Fields input, const Shard& shard)> with_shard = {};
    /// Those samples alone, by their numbers (int64), of a source that offers `subset(numbers)`; else empty.
    std::function<DataSource(const at::Tensor& numbers)> subset = {};
  };

  DataSource() = default;

  /// Throws ConfigError for a null pointer, for `batches` of a source that knows its own number and has another, and
  /// for a range whose type says that it has no end (std::unreachable_sentinel_t) without `batches`.
  template <class S>
    requires(!std::same_as<std::remove_cvref_t<S>, DataSource> && !FieldsLike<S>)
  DataSource(S source, std::optional<std::int64_t> batches = std::nullopt) {
    if constexpr (EpochSource<S>) {
      is_known(source.batches(), batches);
      if constexpr (requires { source.targets(); }) targets_ = source.targets();
      if constexpr (requires { source.last_batch(); }) last_batch_ = source.last_batch();
      if constexpr (requires(std::vector<std::string> names) { names = source.classes(); }) classes_ = source.classes();
      if constexpr (requires {
                      { source.ordered() } -> std::convertible_to<bool>;
                    })
        ordered_ = source.ordered();
      if constexpr (detail::GivesInOrder<S>)
        in_order_ = [source](std::int64_t pass) { return detail::in_order(source, pass); };
      if constexpr (IndexedSource<S>) {
        Indexed numbered{
            .samples = source.samples(), .in_order = in_order_, .with_input = [source](Fields input) -> DataSource {
              return source.with_input(std::move(input));
            }};
        if constexpr (ShardedSource<S>) {
          numbered.shard_in_order = [source](std::int64_t pass, const Shard& shard) {
            return source.in_order(pass, shard);
          };
          numbered.with_shard = [source](Fields input, const Shard& shard) -> DataSource {
            return source.with_input(std::move(input), shard);
          };
        }
        if constexpr (requires(at::Tensor numbers) {
                        { source.subset(numbers) } -> EpochSource;
                      })
          numbered.subset = [source](const at::Tensor& numbers) -> DataSource { return source.subset(numbers); };
        indexed_ = std::make_shared<Indexed>(std::move(numbered));
      }
      stream_ = [s = std::move(source)](std::int64_t epoch, std::int64_t i, const Shard& shard) {
        return detail::stream_of(s, epoch, i, shard);
      };
    } else if constexpr (detail::RangeOfBatches<S>) {
      from_range(std::make_shared<S>(std::move(source)), to_batch_, batches);
    } else {
      static_assert(
          requires { requires detail::RangeOfBatches<std::remove_cvref_t<decltype(*source)>>; },
          "thaw: a data source must be a thaw::InMemory, a range of batches (thaw::Batch, LibTorch's Example, "
          "a pair, tuple, dictionary or struct of tensors with a target), or a std::unique_ptr or std::shared_ptr to "
          "one, such as a DataLoader; for a range of something else, take thaw::DataSource::from");
      from_range(std::shared_ptr(std::move(source)), to_batch_, batches);
    }
  }

  /// A range of anything, each element made a batch by `as_batch(element)`.
  template <class S, class AsBatch>
  [[nodiscard]] static DataSource from(S source, AsBatch as_batch, std::optional<std::int64_t> batches = std::nullopt) {
    DataSource result;
    if constexpr (detail::BatchRange<S>)
      result.from_range(std::make_shared<S>(std::move(source)), std::move(as_batch), batches);
    else
      result.from_range(std::shared_ptr(std::move(source)), std::move(as_batch), batches);
    return result;
  }

  [[nodiscard]] explicit operator bool() const { return static_cast<bool>(stream_); }

  /// The batches of one epoch, from its i-th on: batches before it are drawn and dropped where the source cannot skip
  /// them. Of each batch a shard. Throws DataError as the pass ends where it had another number of batches.
  [[nodiscard]] BatchStream stream(std::int64_t epoch = 0, std::int64_t i = 0, const Shard& shard = {}) const;

  /// Every sample once, in the source's own order: what it offers as `in_order(pass)`, else its stream. Throws
  /// ConfigError for a source that cannot promise that: LibTorch's DataLoader with another than a SequentialSampler or
  /// with drop_last, and what says that it is not `ordered()`.
  [[nodiscard]] BatchStream in_order(std::int64_t pass = 0) const;

  /// Whether it can promise that.
  [[nodiscard]] bool ordered() const { return ordered_; }

  /// The first batch of the epoch that comes next, without using it up: a source that cannot be rewound (a loader)
  /// gives it again at the next `stream`; one that can leaves random generators as they were. None for an empty source.
  [[nodiscard]] std::optional<Batch> first(std::int64_t epoch = 0, const Shard& shard = {}) const;

  /// Gives up the pass that `first` began, if there is one: the next `stream` begins anew.
  void restart() const { known_->begun = {}; }

  /// The random state that a pass which `first` began, and which is still to come, started from; empty where there is
  /// none.
  [[nodiscard]] std::vector<GeneratorState> begun_from() const {
    return known_->begun ? known_->begun_from : std::vector<GeneratorState>();
  }

  /// How many batches a pass has; counts them by a pass where the source cannot tell. Random generators are left as
  /// they were. Throws DataError for a source that is still not at its end after a million.
  [[nodiscard]] std::int64_t batches() const;

  /// Samples of a pass's last batch, where the source can tell.
  [[nodiscard]] std::optional<std::int64_t> last_batch() const { return last_batch_; }

  /// Samples of a pass's smallest batch, where that is known: its last one's, or that of a range's batches, which are
  /// there or were counted.
  [[nodiscard]] std::optional<std::int64_t> smallest_batch() const;

  /// Null where the source is no IndexedSource.
  [[nodiscard]] const Indexed* indexed() const { return indexed_.get(); }

  /// All targets at once; empty where the source cannot tell.
  [[nodiscard]] const Fields& targets() const { return targets_; }

  /// The names of the targets' classes, in their order; empty where the source cannot tell.
  [[nodiscard]] const std::vector<std::string>& classes() const { return classes_; }

 private:
  static constexpr auto to_batch_ = [](const auto& element) { return to_batch(element); };
  static constexpr std::int64_t most_counted_ = 1'000'000;

  /// What its copies know together.
  struct Known {
    std::optional<std::int64_t> batches, smallest;
    BatchStream begun;  // a pass whose first batch was looked at
    std::vector<GeneratorState> begun_from;
  };

  void is_known(std::int64_t batches, const std::optional<std::int64_t>& said);

  template <class Range, class AsBatch>
  void from_range(const std::shared_ptr<Range>& range, AsBatch as_batch, const std::optional<std::int64_t>& batches) {
    if (!range)
      throw ConfigError("data source", "the pointer to it is null",
                        "make the loader first, and move from its pointer once");
    if (batches && *batches < 0)
      throw ConfigError("data source", "it is said to have " + std::to_string(*batches) + " batches", "give 0 or more");
    if constexpr (requires { std::size(*range); }) {
      is_known(static_cast<std::int64_t>(std::size(*range)), batches);
      if constexpr (detail::HasManyPasses<Range>)
        smallest_ = [range, as_batch] {
          constexpr bool cheap = std::is_lvalue_reference_v<decltype(*range->begin())> &&
                                 std::same_as<const AsBatch, decltype(to_batch_)>;
          return detail::smallest_of(*range, as_batch, cheap);
        };
    } else {
      one_pass_ = true;
      ends_there_ = batches.has_value();
      known_->batches = batches;
      if (detail::Endless<Range> && !batches)
        throw ConfigError("data source", "the range has no end",
                          "say after how many batches an epoch ends: thaw::DataSource(range, batches)");
    }
    ordered_ = detail::is_ordered(*range);
    stream_ = [range, as_batch, one_pass = detail::one_pass_of(range), most = batches.value_or(most_counted_)](
                  std::int64_t, std::int64_t i, const Shard& shard) {
      return detail::rest_of(detail::range_stream(range, as_batch, one_pass, most), i, shard);
    };
  }

  [[nodiscard]] BatchStream begin(std::int64_t epoch, std::int64_t i, const Shard& shard) const;

  void count() const;

  std::function<BatchStream(std::int64_t epoch, std::int64_t i, const Shard& shard)> stream_;
  std::function<BatchStream(std::int64_t pass)> in_order_;  // where the source offers it
  std::function<std::optional<std::int64_t>()> smallest_;
  std::optional<std::int64_t> last_batch_;
  std::shared_ptr<const Indexed> indexed_;
  Fields targets_;
  std::vector<std::string> classes_;
  bool one_pass_ = false;    // it cannot be rewound
  bool ends_there_ = false;  // after as many batches as were said
  bool ordered_ = true;      // a pass gives every sample, in an order that stays
  std::shared_ptr<Known> known_ = std::make_shared<Known>();
};

}  // namespace thaw

#if THAW_DEFINES(data)

namespace thaw {

THAW_INLINE BatchStream DataSource::stream(std::int64_t epoch, std::int64_t i, const Shard& shard) const {
  if (BatchStream begun = std::exchange(known_->begun, {})) return detail::rest_of(std::move(begun), i, shard);
  BatchStream pass = begin(epoch, i, shard);
  return known_->batches ? detail::of_length(std::move(pass), i, *known_->batches, ends_there_) : pass;
}

THAW_INLINE BatchStream DataSource::in_order(std::int64_t pass) const {
  if (in_order_) return in_order_(pass);
  if (!ordered_)
    throw ConfigError("data source",
                      "it cannot give every sample in an order of its own: it shuffles, or leaves samples out, or "
                      "does not say that it does not",
                      "give thaw::InMemory, or LibTorch's DataLoader with a SequentialSampler and without drop_last; "
                      "a source of your own may offer in_order(), or say `bool ordered() const`");
  return stream();
}

THAW_INLINE std::optional<Batch> DataSource::first(std::int64_t epoch, const Shard& shard) const {
  if (!one_pass_) {
    const RandomState random;
    return begin(epoch, 0, shard)();
  }
  if (!known_->begun) known_->begun_from = generator_states();
  BatchStream rest = stream(epoch);
  const std::optional<Batch> batch = rest();
  known_->begun = [batch, rest, given = false]() mutable { return std::exchange(given, true) ? rest() : batch; };
  return batch ? std::optional(shard_of(*batch, shard)) : std::nullopt;
}

THAW_INLINE std::int64_t DataSource::batches() const {
  if (!known_->batches && stream_) count();
  return known_->batches.value_or(0);
}

THAW_INLINE std::optional<std::int64_t> DataSource::smallest_batch() const {
  if (last_batch_ || !smallest_) return last_batch_ ? last_batch_ : known_->smallest;
  const RandomState random;
  return smallest_();
}

THAW_INLINE void DataSource::is_known(std::int64_t batches, const std::optional<std::int64_t>& said) {
  if (said && *said != batches)
    throw ConfigError("data source",
                      "it is said to have " + std::to_string(*said) + " batches, and has " + std::to_string(batches),
                      "leave the number out: it is for a range that cannot tell its own");
  known_->batches = batches;
}

THAW_INLINE BatchStream DataSource::begin(std::int64_t epoch, std::int64_t i, const Shard& shard) const {
  if (!stream_) throw DataError("data source", "there is none", "give one");
  BatchStream pass = stream_(epoch, i, shard);
  if (!pass) throw ConfigError("data source", "its stream() gives an empty function", "return one that gives batches");
  return pass;
}

THAW_INLINE void DataSource::count() const {
  restart();  // a loader has one pass at a time
  const RandomState random;
  const auto start = std::chrono::steady_clock::now();
  std::int64_t batches = 0;
  std::optional<std::int64_t> smallest;
  bool slow = false;
  for (BatchStream next = begin(0, 0, {}); const std::optional<Batch> batch = next(); ++batches) {
    if (batches == most_counted_)
      throw DataError("data source", "counting its batches, there are more than " + std::to_string(most_counted_),
                      "say after how many an epoch ends: thaw::DataSource(range, batches)");
    smallest = detail::smaller(smallest, detail::size_of(*batch));
    if (slow || detail::seconds_since(start) < 10) continue;
    slow = true;
    TORCH_WARN("thaw: a pass over a data source, to count its batches, has taken 10 s; thaw::DataSource(range, ",
               "batches) says how many there are, and a source that never ends needs that");
  }
  known_->batches = batches;
  known_->smallest = smallest;
}

}  // namespace thaw

#endif
