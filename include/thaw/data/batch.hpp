// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/data/detail/side_copies.hpp>
#include <thaw/data/fields.hpp>

namespace thaw {

/// One training batch: `input` is what the model takes, `target` what the loss compares its output with. The first
/// dimension of every tensor runs over the samples.
struct Batch {
  Fields input = {};
  Fields target = {};
  /// One sample that does not count, in a process whose share of a small batch is empty: see Shard.
  bool stand_in = false;

  /// How many samples.
  [[nodiscard]] std::int64_t size() const { return input.empty() ? 0 : input[0].size(0); }
  /// How many that count.
  [[nodiscard]] std::int64_t counted() const { return stand_in ? 0 : size(); }
  /// The same on a device. Copies from host memory run beside what the device computes: the current stream waits for
  /// them, the host does not. What is not in page-locked memory is copied there first (Prefetch does that ahead).
  [[nodiscard]] Batch to(const at::Device& device) const;
};

/// Gives the batches of one pass, one per call, then nothing.
using BatchStream = std::function<std::optional<Batch>()>;

namespace detail {

template <class T>
concept FieldsOrLike = std::same_as<T, Fields> || FieldsLike<T>;

template <class T>
concept HasInputAndTarget = requires(const T& b) {
  requires FieldsOrLike<std::remove_cvref_t<decltype(b.input)>>;
  requires FieldsOrLike<std::remove_cvref_t<decltype(b.target)>>;
};

template <class T>
concept HasDataAndTarget = requires(const T& b) {
  requires FieldsOrLike<std::remove_cvref_t<decltype(b.data)>>;
  requires FieldsOrLike<std::remove_cvref_t<decltype(b.target)>>;
};

template <class T>
concept TupleBatch = TupleLike<T> && std::tuple_size_v<T> >= 2 && []<std::size_t... I>(std::index_sequence<I...>) {
  return (FieldsOrLike<std::remove_cvref_t<std::tuple_element_t<I, T>>> && ...);
}(std::make_index_sequence<std::tuple_size_v<T>>{});

/// A plain struct of up to eight members, of which `target` is one; the others are the inputs.
template <class T>
concept StructBatch = PlainStruct<T> && requires(const T& b) {
  requires FieldsOrLike<std::remove_cvref_t<decltype(b.target)>>;
} && (count_members<T>() >= 2 && count_members<T>() <= 8) && []<class... M>(std::type_identity<std::tuple<M...>>) {
  return (FieldsOrLike<std::remove_cvref_t<M>> && ...);
}(std::type_identity<decltype(members(std::declval<T&>()))>{});

/// The inputs of a batch whose parts are more than two: joined into one.
void append(std::vector<at::Tensor>& all, const Fields& part);

/// Of a dictionary, the targets are what is called so.
Batch split_dictionary(const Fields& all);

}  // namespace detail

/// Anything that is plainly a batch: thaw::Batch, LibTorch's Example (`data`, `target`), a struct of tensors with a
/// member `target`, a pair or tuple (its last element is the target), a dictionary (target, targets, label or labels).
/// Each part may be one tensor or several (FieldsLike).
template <class T>
concept BatchLike = detail::HasInputAndTarget<T> || detail::HasDataAndTarget<T> || detail::TensorDict<T> ||
                    detail::TupleBatch<T> || detail::StructBatch<T>;

/// Copies the tensor handles out of anything BatchLike.
template <BatchLike T>
[[nodiscard]] Batch to_batch(const T& b) {
  if constexpr (detail::HasInputAndTarget<T>) {
    return {b.input, b.target};
  } else if constexpr (detail::HasDataAndTarget<T>) {
    return {b.data, b.target};
  } else if constexpr (detail::TensorDict<T>) {
    return detail::split_dictionary(b);
  } else if constexpr (detail::TupleBatch<T>) {
    return []<std::size_t... I>(const T& parts, std::index_sequence<I...>) -> Batch {
      if constexpr (sizeof...(I) == 1) {
        return {std::get<0>(parts), std::get<1>(parts)};
      } else {
        std::vector<at::Tensor> input;
        (detail::append(input, std::get<I>(parts)), ...);
        return {input, std::get<sizeof...(I)>(parts)};
      }
    }(b, std::make_index_sequence<std::tuple_size_v<T> - 1>{});
  } else {
    std::vector<at::Tensor> input;
    std::apply(
        [&](const auto&... member) {
          const auto add = [&](const auto& m) {
            if (static_cast<const void*>(&m) != static_cast<const void*>(&b.target)) detail::append(input, m);
          };
          (add(member), ...);
        },
        detail::members(b));
    return {input, b.target};
  }
}

}  // namespace thaw

#if THAW_DEFINES(data)

namespace thaw {

THAW_INLINE Batch Batch::to(const at::Device& device) const {
  detail::SideCopies move(device);
  const auto moved = [&](const at::Tensor& tensor) { return move(tensor); };
  Batch result{input.map(moved), target.map(moved), stand_in};
  move.finish();
  return result;
}

}  // namespace thaw

namespace thaw::detail {

THAW_INLINE void append(std::vector<at::Tensor>& all, const Fields& part) {
  all.insert(all.end(), part.begin(), part.end());
}

THAW_INLINE Batch split_dictionary(const Fields& all) {
  static constexpr std::array target_names{"target", "targets", "label", "labels"};
  std::vector<std::pair<std::string, at::Tensor>> input;
  Fields target;
  for (std::size_t i = 0; i < all.size(); ++i)
    if (target.empty() && std::ranges::find(target_names, all.names()[i]) != target_names.end())
      target = all[i];
    else
      input.emplace_back(all.names()[i], all[i]);
  if (target.empty() || input.empty())
    throw DataError("batch", "a dictionary with " + join_names(all.names()),
                    "call its target \"target\" or \"labels\", or say by DataSource::from what is what");
  return {input.size() == 1 ? Fields(input[0].second) : Fields(input), target};
}

}  // namespace thaw::detail

#endif
