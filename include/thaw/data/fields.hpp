// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/SmallVector.h>

#include <concepts>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>
#include <thaw/data/detail/aggregate.hpp>

namespace thaw {

namespace detail {

template <class T>
concept TensorLike = std::convertible_to<const T&, at::Tensor>;

/// std::map and its kin, torch::OrderedDict, c10::Dict: from names to tensors.
template <class T>
concept TensorDict = requires(const T& dict) {
  { dict.begin()->first } -> std::convertible_to<std::string>;
  { dict.begin()->second } -> std::convertible_to<at::Tensor>;
} || requires(const T& dict) {
  { dict.begin()->key() } -> std::convertible_to<std::string>;
  { dict.begin()->value() } -> std::convertible_to<at::Tensor>;
};

template <class T>
concept TensorRange = requires(const T& range) {
  { *range.begin() } -> std::convertible_to<at::Tensor>;
  range.end();
};

template <class T>
concept TupleLike = requires {
  std::tuple_size<T>::value;  // NOLINT(modernize-type-traits): std::tuple_size_v is an error for others, not a "no"
};

template <class T>
concept PlainStruct = std::is_class_v<T> && std::is_aggregate_v<T> && !TupleLike<T> && !TensorRange<T>;

template <class Tuple>
inline constexpr bool all_tensors = false;
template <class... T>
inline constexpr bool all_tensors<std::tuple<T...>> = sizeof...(T) > 0 && (TensorLike<std::remove_cvref_t<T>> && ...);

template <class T>
[[nodiscard]] constexpr auto parts(T& value) {
  if constexpr (TupleLike<std::remove_const_t<T>>)
    return std::apply([](auto&... part) { return std::tie(part...); }, value);
  else
    return members(value);
}

template <class T>
[[nodiscard]] constexpr bool is_record() {
  if constexpr (TupleLike<T> || PlainStruct<T>)
    return all_tensors<decltype(parts(std::declval<T&>()))>;
  else
    return false;
}

}  // namespace detail

/// One tensor, or several: a range of them, a pair or tuple, a dictionary from names to tensors, or a plain struct of
/// up to eight tensors.
template <class T>
concept FieldsLike = detail::TensorLike<T> || detail::TensorDict<T> || detail::TensorRange<T> || detail::is_record<T>();

/// The tensors of one side of a batch, or of a model's output: one, several in order, or several by name. Holds
/// handles, no copies. A single one can be used as the at::Tensor that it is.
class Fields {
 public:
  Fields() = default;

  template <class T>
    requires(!std::same_as<T, Fields> && FieldsLike<T>)
  Fields(const T& value) {
    if constexpr (detail::TensorLike<T>) {
      if (at::Tensor tensor = value; tensor.defined()) tensors_.push_back(std::move(tensor));
    } else if constexpr (detail::TensorDict<T>) {
      std::vector<std::string> names;
      for (const auto& item : value)
        if constexpr (requires { item.first; })
          names.push_back(item.first), tensors_.push_back(item.second);
        else
          names.push_back(item.key()), tensors_.push_back(item.value());
      names_ = std::make_shared<const std::vector<std::string>>(std::move(names));
    } else if constexpr (detail::TensorRange<T>) {
      for (const at::Tensor& tensor : value) tensors_.push_back(tensor);
    } else {
      std::apply([&](const auto&... tensor) { (tensors_.push_back(tensor), ...); }, detail::parts(value));
    }
  }

  [[nodiscard]] std::size_t size() const { return tensors_.size(); }
  [[nodiscard]] bool empty() const { return tensors_.empty(); }
  [[nodiscard]] const at::Tensor& operator[](std::size_t i) const { return tensors_[i]; }
  [[nodiscard]] auto begin() const { return tensors_.begin(); }
  [[nodiscard]] auto end() const { return tensors_.end(); }

  /// Of a dictionary, its names, in the order of the tensors; otherwise none.
  [[nodiscard]] const std::vector<std::string>& names() const {
    static const std::vector<std::string> none;
    return names_ ? *names_ : none;
  }

  /// The tensor of this name. Throws DataError, naming what there is.
  [[nodiscard]] const at::Tensor& at(std::string_view name) const {
    for (std::size_t i = 0; i < names().size(); ++i)
      if (names()[i] == name) return tensors_[i];
    throw DataError("Fields", "there is no \"" + std::string(name) + "\"", "there are: " + join_names(names()));
  }

  /// The tensor, where there is one. Throws DataError for none and for several.
  operator const at::Tensor&() const {
    if (size() == 1) return tensors_[0];
    throw DataError(
        "Fields",
        std::to_string(size()) + " tensors where one is expected" + (names().empty() ? "" : ": " + join_names(names())),
        "take one of them, or let the model, the loss or the metric take all: as a struct of tensors, a "
        "dictionary, or thaw::Fields");
  }

  /// All of them as a T: a tensor, a vector, a tuple, a dictionary or a struct of tensors. Throws DataError when their
  /// number is another, and for a dictionary when there are no names.
  template <class T>
    requires(std::same_as<T, Fields> || FieldsLike<T>)
  [[nodiscard]] T as() const {
    if constexpr (std::same_as<T, Fields>) {
      return *this;
    } else if constexpr (detail::TensorLike<T>) {
      return static_cast<const at::Tensor&>(*this);
    } else if constexpr (detail::TensorDict<T>) {
      if (names().size() != size())
        throw DataError("Fields", "the tensors have no names", "let the data source give dictionaries");
      T dict;
      for (std::size_t i = 0; i < size(); ++i)
        if constexpr (requires { dict.insert({names()[i], tensors_[i]}); })
          dict.insert({names()[i], tensors_[i]});
        else
          dict.insert(names()[i], tensors_[i]);
      return dict;
    } else if constexpr (detail::is_record<T>()) {
      T record;
      auto parts = detail::parts(record);
      constexpr std::size_t n = std::tuple_size_v<decltype(parts)>;
      if (n != size())
        throw DataError("Fields", std::to_string(size()) + " tensors for a struct of " + std::to_string(n),
                        "give as many as it has members, in their order");
      std::apply([&, i = std::size_t{0}](auto&... part) mutable { ((part = tensors_[i++]), ...); }, parts);
      return record;
    } else {
      return T(begin(), end());
    }
  }

  /// Another tensor in the place of the i-th.
  void replace(std::size_t i, at::Tensor tensor) { tensors_[i] = std::move(tensor); }

  /// The same fields, each changed by `change(tensor)`.
  template <class Change>
  [[nodiscard]] Fields map(Change change) const {
    Fields result;
    result.names_ = names_;
    for (const at::Tensor& tensor : tensors_) result.tensors_.push_back(change(tensor));
    return result;
  }

 private:
  c10::SmallVector<at::Tensor, 2> tensors_;  // one or two without an allocation
  std::shared_ptr<const std::vector<std::string>> names_;
};

}  // namespace thaw
