// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <concepts>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

namespace thaw::detail {

// Walks the members of a plain struct, which C++20 can count (by how many initialisers it takes) and name (by a
// structured binding), but not enumerate.

struct AnyMember {
  template <class T>
  operator T() const;  // declared only: used where nothing is evaluated
};

template <class T, std::size_t... I>
concept takes_initialisers = requires { T{((void)I, AnyMember{})...}; };

template <class T, std::size_t N>
inline constexpr bool takes = []<std::size_t... I>(std::index_sequence<I...>) {
  return takes_initialisers<T, I...>;
}(std::make_index_sequence<N>{});

/// How many members a struct has; 9 stands for all that are more than `members` can name.
template <class T, std::size_t N = 9>
[[nodiscard]] constexpr std::size_t count_members() {
  if constexpr (N == 0)
    return 0;
  else if constexpr (takes<T, N>)
    return N;
  else
    return count_members<T, N - 1>();
}

/// A tuple of references to the members of a struct of up to eight; of a larger one, none.
template <class T>
[[nodiscard]] constexpr auto members(T& value) {
  constexpr std::size_t n = count_members<std::remove_const_t<T>>();
  if constexpr (n == 0 || n > 8) {
    return std::tie();
  } else if constexpr (n == 1) {
    auto& [a] = value;
    return std::tie(a);
  } else if constexpr (n == 2) {
    auto& [a, b] = value;
    return std::tie(a, b);
  } else if constexpr (n == 3) {
    auto& [a, b, c] = value;
    return std::tie(a, b, c);
  } else if constexpr (n == 4) {
    auto& [a, b, c, d] = value;
    return std::tie(a, b, c, d);
  } else if constexpr (n == 5) {
    auto& [a, b, c, d, e] = value;
    return std::tie(a, b, c, d, e);
  } else if constexpr (n == 6) {
    auto& [a, b, c, d, e, f] = value;
    return std::tie(a, b, c, d, e, f);
  } else if constexpr (n == 7) {
    auto& [a, b, c, d, e, f, g] = value;
    return std::tie(a, b, c, d, e, f, g);
  } else {
    auto& [a, b, c, d, e, f, g, h] = value;
    return std::tie(a, b, c, d, e, f, g, h);
  }
}

}  // namespace thaw::detail
