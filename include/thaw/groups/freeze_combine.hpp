// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include <thaw/core/error.hpp>
#include <thaw/groups/freeze_policy.hpp>

namespace thaw {

namespace detail {

/// What `&&`, `||`, `!` and `until` combine. AnyFreezePolicy is none: it may be empty, and tells that by `!`.
template <class P>
concept FreezePart = FreezePolicy<P> && !std::same_as<P, AnyFreezePolicy>;

}  // namespace detail

/// Frozen where both policies freeze; what `a && b` makes.
template <class A, class B>
struct FreezeBoth {
  A a = {};
  B b = {};

  [[nodiscard]] constexpr bool operator()(const GroupRef& group, const Progress& at) const {
    return a(group, at) && b(group, at);
  }
  void check(std::span<const std::string> names) const {
    detail::check_policy(a, names);
    detail::check_policy(b, names);
  }
};

/// Frozen where either policy freezes; what `a || b` makes.
template <class A, class B>
struct FreezeEither {
  A a = {};
  B b = {};

  [[nodiscard]] constexpr bool operator()(const GroupRef& group, const Progress& at) const {
    return a(group, at) || b(group, at);
  }
  void check(std::span<const std::string> names) const {
    detail::check_policy(a, names);
    detail::check_policy(b, names);
  }
};

/// Frozen where the policy does not freeze; what `!a` makes.
template <class A>
struct FreezeNot {
  A a = {};

  [[nodiscard]] constexpr bool operator()(const GroupRef& group, const Progress& at) const { return !a(group, at); }
  void check(std::span<const std::string> names) const { detail::check_policy(a, names); }
};

/// One policy before an epoch of the stage, another one from there on; what `until` makes.
template <class Before, class Then>
struct FreezeUntil {
  std::int64_t epoch = 1;
  Before before = {};
  Then then = {};

  [[nodiscard]] constexpr bool operator()(const GroupRef& group, const Progress& at) const {
    return at.epoch() < epoch ? before(group, at) : then(group, at);
  }
  void check(std::span<const std::string> names) const {
    if (epoch < 1)
      throw ConfigError("until", "the epoch is " + std::to_string(epoch),
                        "give how many epochs the first policy holds, at least 1");
    detail::check_policy(before, names);
    detail::check_policy(then, names);
  }
};

// Two lambdas, or two policies of a namespace of your own, combine where you say `using thaw::operator&&;`.

/// Frozen where both freeze: `FreezeTo{-1} && !FreezeWhere{"stem"}`.
template <detail::FreezePart A, detail::FreezePart B>
[[nodiscard]] constexpr FreezeBoth<A, B> operator&&(A a, B b) {
  return {std::move(a), std::move(b)};
}

/// Frozen where either freezes: `FreezeWhere{"stem"} || FreezeWhere{"layer1*"}`.
template <detail::FreezePart A, detail::FreezePart B>
[[nodiscard]] constexpr FreezeEither<A, B> operator||(A a, B b) {
  return {std::move(a), std::move(b)};
}

/// Frozen where the policy does not freeze: `!Only{.groups = {0}}` trains all but the first group.
template <detail::FreezePart A>
[[nodiscard]] constexpr FreezeNot<A> operator!(A a) {
  return {std::move(a)};
}

/// The policy in epochs [0, epoch) of the stage, and `then` after that: `until(2, FreezeTo{-1})`.
template <detail::FreezePart Before, detail::FreezePart Then = Unfrozen>
[[nodiscard]] constexpr FreezeUntil<Before, Then> until(std::int64_t epoch, Before policy, Then then = {}) {
  return {epoch, std::move(policy), std::move(then)};
}

}  // namespace thaw
