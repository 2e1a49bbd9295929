#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include <thaw/data/batch.hpp>

namespace thaw {

/// Gives the batches of one pass, one per call, then nothing.
using BatchStream = std::function<std::optional<Batch>()>;

/// A source that knows itself: how many batches a pass has, and the pass of a given epoch. The same epoch gives the
/// same batches, so that a pass can be repeated. It may offer `at::Tensor targets() const`, all its targets at once,
/// which lets them be checked before training.
template <class S>
concept EpochSource = requires(const S& source, std::int64_t epoch) {
  { source.batches() } -> std::convertible_to<std::int64_t>;
  { source.stream(epoch) } -> std::convertible_to<BatchStream>;
};

namespace detail {

template <class Range>
using element_t = std::remove_cvref_t<decltype(*std::declval<Range&>().begin())>;

// LibTorch's iterators are no std::input_iterator: ask only for what a range-for needs.
template <class Range>
concept BatchRange = requires(Range& range) {
  { range.begin() != range.end() } -> std::convertible_to<bool>;
  requires BatchLike<element_t<Range>>;
};

template <class Range>
BatchStream range_stream(std::shared_ptr<Range> range) {
  struct State {
    std::shared_ptr<Range> range;
    decltype(range->begin()) next = range->begin();
    decltype(range->end()) end = range->end();
    bool fresh = true;  // LibTorch's data loader fetches on ++, so it is called only when a batch is asked for
  };
  return [state = std::make_shared<State>(State{range})]() -> std::optional<Batch> {
    if (!std::exchange(state->fresh, false)) ++state->next;
    if (!(state->next != state->end)) return std::nullopt;
    return to_batch(*state->next);
  };
}

}  // namespace detail

/// Where batches come from. Takes an EpochSource (thaw::InMemory), or any range of batches: a std::vector, LibTorch's
/// DataLoader (by std::unique_ptr, as make_data_loader returns it, or by std::shared_ptr). A range without `size()` is
/// run through once to count it, unless `batches` says how many it has. Copies share the source.
class DataSource {
 public:
  DataSource() = default;

  template <class S>
    requires(!std::same_as<std::remove_cvref_t<S>, DataSource>)
  DataSource(S source, std::optional<std::int64_t> batches = std::nullopt) : batches_(batches) {
    if constexpr (EpochSource<S>) {
      batches_ = source.batches();
      if constexpr (requires { source.targets(); }) targets_ = source.targets();
      stream_ = [s = std::move(source)](std::int64_t epoch) -> BatchStream { return s.stream(epoch); };
    } else if constexpr (detail::BatchRange<S>) {
      if constexpr (requires { std::size(source); }) batches_ = static_cast<std::int64_t>(std::size(source));
      from_range(std::make_shared<S>(std::move(source)));
    } else {
      static_assert(
          requires { requires detail::BatchRange<std::remove_cvref_t<decltype(*source)>>; },
          "thaw: a data source must be a thaw::InMemory, a range of batches (thaw::Batch, LibTorch's Example, "
          "a pair of tensors), or a std::unique_ptr or std::shared_ptr to one, such as a DataLoader");
      from_range(std::shared_ptr(std::move(source)));
    }
  }

  [[nodiscard]] explicit operator bool() const { return static_cast<bool>(stream_); }

  /// The batches of one epoch.
  [[nodiscard]] BatchStream stream(std::int64_t epoch = 0) const { return stream_(epoch); }

  /// How many batches a pass has; counts them by a pass where the source cannot tell.
  [[nodiscard]] std::int64_t batches() const {
    if (!batches_) {
      batches_ = 0;
      for (BatchStream next = stream_(0); next();) ++*batches_;
    }
    return *batches_;
  }

  /// All targets at once; undefined where the source cannot tell.
  [[nodiscard]] const at::Tensor& targets() const { return targets_; }

 private:
  template <class Range>
  void from_range(std::shared_ptr<Range> range) {
    stream_ = [range = std::move(range)](std::int64_t) { return detail::range_stream(range); };
  }

  std::function<BatchStream(std::int64_t)> stream_;
  mutable std::optional<std::int64_t> batches_;
  at::Tensor targets_;
};

}  // namespace thaw
