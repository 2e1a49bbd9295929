#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include <thaw/core/random_state.hpp>
#include <thaw/data/batch.hpp>
#include <thaw/data/shard.hpp>

namespace thaw {

/// Gives the batches of one pass, one per call, then nothing.
using BatchStream = std::function<std::optional<Batch>()>;

/// A source that knows itself: how many batches a pass has, and the pass of a given epoch. The same epoch gives the
/// same batches, so that a pass can be repeated. It may offer `Fields targets() const`, all its targets at once, which
/// lets them be checked before training; `stream(epoch, i)`, the pass from its i-th batch on, which lets a resumed run
/// skip what it has seen without making it; and `stream(epoch, i, shard)`, a Shard of each batch, which lets each of
/// several processes make its own samples alone.
template <class S>
concept EpochSource = requires(const S& source, std::int64_t epoch) {
  { source.batches() } -> std::convertible_to<std::int64_t>;
  { source.stream(epoch) } -> std::convertible_to<BatchStream>;
};

/// An EpochSource of which every sample can be had once, in an order of its own, and be given another input: what a
/// frozen network makes of it (see Stage::cache). A source that augments may offer `in_order(pass)`, each pass
/// augmented otherwise.
template <class S>
concept NumberedSource = EpochSource<S> && requires(const S& source, Fields input) {
  { source.samples() } -> std::convertible_to<std::int64_t>;
  { source.in_order() } -> std::convertible_to<BatchStream>;
  { source.with_input(input) } -> EpochSource;
};

/// A NumberedSource of which several processes can each keep a part: `in_order(pass, shard)` gives the samples whose
/// numbers are shard.index, shard.index + shard.count, ...; and `with_input(input, shard)`, which has such inputs
/// alone, gives of each batch the samples that they are of.
template <class S>
concept ShardedSource = NumberedSource<S> && requires(const S& source, Fields input, const Shard& shard) {
  { source.in_order(std::int64_t{}, shard) } -> std::convertible_to<BatchStream>;
  { source.with_input(input, shard) } -> EpochSource;
};

namespace detail {

/// Without its next i batches, and of the others a shard.
inline BatchStream rest_of(BatchStream stream, std::int64_t i, const Shard& shard) {
  while (i-- > 0 && stream()) {
  }
  if (shard.all()) return stream;
  return [stream = std::move(stream), shard]() -> std::optional<Batch> {
    const std::optional<Batch> whole = stream();
    return whole ? std::optional(shard_of(*whole, shard)) : std::nullopt;
  };
}

/// What the source cannot skip or share itself is made and dropped.
template <EpochSource S>
BatchStream stream_of(const S& source, std::int64_t epoch, std::int64_t i, const Shard& shard) {
  if constexpr (requires { source.stream(epoch, i, shard); })
    return source.stream(epoch, i, shard);
  else if constexpr (requires { source.stream(epoch, i); })
    return rest_of(source.stream(epoch, i), 0, shard);
  else
    return rest_of(source.stream(epoch), i, shard);
}

template <NumberedSource S>
BatchStream in_order(const S& source, std::int64_t pass) {
  if constexpr (requires { source.in_order(pass); })
    return source.in_order(pass);
  else
    return source.in_order();
}

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

/// LibTorch's loader with workers refuses a new pass before the last one has ended.
template <class Range>
bool must_be_exhausted(const Range& range) {
  if constexpr (requires { range.options().workers; })
    return range.options().workers > 0;
  else
    return false;
}

template <class Range, class AsBatch>
BatchStream range_stream(std::shared_ptr<Range> range, AsBatch as_batch) {
  struct State {
    std::shared_ptr<Range> range;
    decltype(range->begin()) next = range->begin();
    decltype(range->end()) end = range->end();
    bool fresh = true;  // LibTorch's data loader fetches on ++, so it is called only when a batch is asked for

    explicit State(std::shared_ptr<Range> r) : range(std::move(r)) {}
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() {
      if (must_be_exhausted(*range)) try {
          while (advance()) {
          }
        } catch (...) {  // NOLINT(bugprone-empty-catch): it belongs to a batch that nobody asked for
        }
    }
    bool advance() {
      if (next != end && !std::exchange(fresh, false)) ++next;
      return next != end;
    }
  };
  return [state = std::make_shared<State>(std::move(range)), as_batch]() -> std::optional<Batch> {
    if (!state->advance()) return std::nullopt;
    return as_batch(*state->next);
  };
}

}  // namespace detail

/// Where batches come from. Takes an EpochSource (thaw::InMemory), or any range of batches: a std::vector, LibTorch's
/// DataLoader (by std::unique_ptr, as make_data_loader returns it, or by std::shared_ptr). A range without `size()` is
/// run through once to count it, unless `batches` says how many it has. Copies share the source.
class DataSource {
 public:
  /// What a NumberedSource can do.
  struct Numbered {
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

  template <class S>
    requires(!std::same_as<std::remove_cvref_t<S>, DataSource> && !FieldsLike<S>)
  DataSource(S source, std::optional<std::int64_t> batches = std::nullopt) : batches_(batches) {
    if constexpr (EpochSource<S>) {
      batches_ = source.batches();
      if constexpr (requires { source.targets(); }) targets_ = source.targets();
      if constexpr (requires { source.last_batch(); }) last_batch_ = source.last_batch();
      if constexpr (NumberedSource<S>) {
        Numbered numbered{
            .samples = source.samples(),
            .in_order = [source](std::int64_t pass) { return detail::in_order(source, pass); },
            .with_input = [source](Fields input) -> DataSource { return source.with_input(std::move(input)); }};
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
        numbered_ = std::make_shared<Numbered>(std::move(numbered));
      }
      stream_ = [s = std::move(source)](std::int64_t epoch, std::int64_t i, const Shard& shard) {
        return detail::stream_of(s, epoch, i, shard);
      };
    } else if constexpr (detail::RangeOfBatches<S>) {
      from_range(std::make_shared<S>(std::move(source)), to_batch_);
    } else {
      static_assert(
          requires { requires detail::RangeOfBatches<std::remove_cvref_t<decltype(*source)>>; },
          "thaw: a data source must be a thaw::InMemory, a range of batches (thaw::Batch, LibTorch's Example, "
          "a pair, tuple, dictionary or struct of tensors with a target), or a std::unique_ptr or std::shared_ptr to "
          "one, such as a DataLoader; for a range of something else, take thaw::DataSource::from");
      from_range(std::shared_ptr(std::move(source)), to_batch_);
    }
  }

  /// A range of anything, each element made a batch by `as_batch(element)`.
  template <class S, class AsBatch>
  [[nodiscard]] static DataSource from(S source, AsBatch as_batch, std::optional<std::int64_t> batches = std::nullopt) {
    DataSource result;
    result.batches_ = batches;
    if constexpr (detail::BatchRange<S>)
      result.from_range(std::make_shared<S>(std::move(source)), std::move(as_batch));
    else
      result.from_range(std::shared_ptr(std::move(source)), std::move(as_batch));
    return result;
  }

  [[nodiscard]] explicit operator bool() const { return static_cast<bool>(stream_); }

  /// The batches of one epoch, from its i-th on: batches before it are drawn and dropped where the source cannot skip
  /// them. Of each batch a shard.
  [[nodiscard]] BatchStream stream(std::int64_t epoch = 0, std::int64_t i = 0, const Shard& shard = {}) const {
    if (BatchStream begun = std::exchange(begun_, {})) return detail::rest_of(std::move(begun), i, shard);
    return stream_(epoch, i, shard);
  }

  /// The first batch of the epoch that comes next, without using it up: a source that cannot be rewound (a loader)
  /// gives it again at the next `stream`; one that can leaves random generators as they were. None for an empty source.
  [[nodiscard]] std::optional<Batch> first(std::int64_t epoch = 0, const Shard& shard = {}) const {
    if (!one_pass_) {
      const RandomState random;
      return stream_(epoch, 0, shard)();
    }
    if (!begun_) begun_from_ = generator_states();
    BatchStream rest = stream(epoch);
    const std::optional<Batch> batch = rest();
    begun_ = [batch, rest, given = false]() mutable { return std::exchange(given, true) ? rest() : batch; };
    return batch ? std::optional(shard_of(*batch, shard)) : std::nullopt;
  }

  /// Gives up the pass that `first` began, if there is one: the next `stream` begins anew.
  void restart() const { begun_ = {}; }

  /// The random state that a pass which `first` began, and which is still to come, started from; empty where there is
  /// none.
  [[nodiscard]] std::vector<GeneratorState> begun_from() const {
    return begun_ ? begun_from_ : std::vector<GeneratorState>();
  }

  /// How many batches a pass has; counts them by a pass where the source cannot tell. Random generators are left as
  /// they were.
  [[nodiscard]] std::int64_t batches() const {
    if (!batches_) {
      restart();  // a loader has one pass at a time
      const RandomState random;
      std::int64_t count = 0;
      for (BatchStream next = stream_(0, 0, {}); next();) ++count;
      batches_ = count;
    }
    return *batches_;
  }

  /// Samples of a pass's last batch, where the source can tell.
  [[nodiscard]] std::optional<std::int64_t> last_batch() const { return last_batch_; }

  /// Null where the source is no NumberedSource.
  [[nodiscard]] const Numbered* numbered() const { return numbered_.get(); }

  /// All targets at once; empty where the source cannot tell.
  [[nodiscard]] const Fields& targets() const { return targets_; }

 private:
  static constexpr auto to_batch_ = [](const auto& element) { return to_batch(element); };

  template <class Range, class AsBatch>
  void from_range(std::shared_ptr<Range> range, AsBatch as_batch) {
    if constexpr (requires { std::size(*range); })
      batches_ = static_cast<std::int64_t>(std::size(*range));
    else
      one_pass_ = true;
    stream_ = [range = std::move(range), as_batch](std::int64_t, std::int64_t i, const Shard& shard) {
      return detail::rest_of(detail::range_stream(range, as_batch), i, shard);
    };
  }

  std::function<BatchStream(std::int64_t epoch, std::int64_t i, const Shard& shard)> stream_;
  mutable std::optional<std::int64_t> batches_;
  std::optional<std::int64_t> last_batch_;
  std::shared_ptr<const Numbered> numbered_;
  Fields targets_;
  bool one_pass_ = false;      // it cannot be rewound
  mutable BatchStream begun_;  // a pass whose first batch was looked at
  mutable std::vector<GeneratorState> begun_from_;
};

}  // namespace thaw
