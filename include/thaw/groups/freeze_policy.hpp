// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/core/glob.hpp>
#include <thaw/core/names.hpp>
#include <thaw/schedule/progress.hpp>

namespace thaw {

/// A layer group as a freeze policy sees it; group 0 is nearest to the input.
struct GroupRef {
  std::size_t index = 0;
  std::size_t count = 1;
  std::string_view name;
};

/// Says whether a group is frozen at a moment of the stage: `bool operator()(const GroupRef&, const Progress&) const`.
/// A pure function that holds no run state. It may offer `void check(std::size_t groups) const`, or
/// `void check(std::span<const std::string> names) const` with the name of every group, which throws ConfigError when
/// the policy does not fit them.
template <class P>
concept FreezePolicy =
    std::copy_constructible<P> && std::is_invocable_r_v<bool, const P&, const GroupRef&, const Progress&>;

namespace detail {

/// The policy's own check of the groups, if it has one.
template <class P>
void check_policy(const P& policy, std::span<const std::string> names) {
  if constexpr (requires { policy.check(names); })
    policy.check(names);
  else if constexpr (requires { policy.check(names.size()); })
    policy.check(names.size());
}

}  // namespace detail

/// Groups [0, n) are frozen, the rest trains; a negative n counts from the end: `FreezeTo{-1}` trains the last only.
struct FreezeTo {
  int n = -1;

  [[nodiscard]] constexpr bool operator()(const GroupRef& group, const Progress&) const {
    const auto count = static_cast<std::ptrdiff_t>(group.count);
    return static_cast<std::ptrdiff_t>(group.index) < (n < 0 ? count + n : n);
  }

  void check(std::size_t groups) const;
};

/// Every group trains.
struct Unfrozen {
  [[nodiscard]] constexpr bool operator()(const GroupRef&, const Progress&) const { return false; }
};

/// Only these groups train; negative numbers count from the end: `Only{.groups = {0, -1}}` trains the first and the
/// last. Surgical fine-tuning: which block is best depends on how the new data differ, and it may be the first.
/// Source: Lee et al. 2023, arXiv:2210.11466.
struct Only {
  std::vector<int> groups = {};

  [[nodiscard]] bool operator()(const GroupRef& group, const Progress&) const;

  void check(std::size_t count) const;
};

/// Groups whose whole name matches a glob are frozen; `*` is any text, dots included, `?` any one character.
struct FreezeWhere {
  std::string glob = {};

  [[nodiscard]] bool operator()(const GroupRef& group, const Progress&) const { return glob_match(glob, group.name); }

  void check(std::span<const std::string> names) const;
};

/// Any FreezePolicy, by value; empty means "as things are".
class AnyFreezePolicy {
 public:
  AnyFreezePolicy() = default;

  template <class P>
    requires(!std::same_as<std::remove_cvref_t<P>, AnyFreezePolicy>)
  AnyFreezePolicy(P policy) {
    static_assert(FreezePolicy<P>,
                  "thaw: a freeze policy must be callable as "
                  "`bool(const thaw::GroupRef&, const thaw::Progress&) const`, true for frozen");
    // NOLINTBEGIN(cppcoreguidelines-prefer-member-initializer): a compiler is to say the line above before any other
    check_ = [policy](std::span<const std::string> names) { detail::check_policy(policy, names); };
    frozen_ = std::move(policy);
    // NOLINTEND(cppcoreguidelines-prefer-member-initializer)
  }

  [[nodiscard]] explicit operator bool() const { return static_cast<bool>(frozen_); }
  [[nodiscard]] bool operator()(const GroupRef& group, const Progress& at) const { return frozen_(group, at); }
  void check(std::span<const std::string> names) const {
    if (check_) check_(names);
  }

 private:
  std::function<bool(const GroupRef&, const Progress&)> frozen_;
  std::function<void(std::span<const std::string>)> check_;
};

}  // namespace thaw

#if THAW_DEFINES(groups)

namespace thaw {

THAW_INLINE void FreezeTo::check(std::size_t groups) const {
  const auto count = static_cast<std::ptrdiff_t>(groups);
  const std::string where = "FreezeTo{" + std::to_string(n) + "}";
  if (count == 1 && n == -1)
    throw ConfigError(where, "there is one layer group, so nothing would be frozen",
                      "cut the model into two or more groups, or take Unfrozen{}");
  if (n < -count || n >= count)
    throw ConfigError(where, "there are " + std::to_string(groups) + " layer groups",
                      "take a number from " + std::to_string(-count) + " to " + std::to_string(count - 1));
}

THAW_INLINE bool Only::operator()(const GroupRef& group, const Progress&) const {
  return std::ranges::none_of(groups, [&](int n) {
    return static_cast<std::ptrdiff_t>(group.index) == (n < 0 ? static_cast<std::ptrdiff_t>(group.count) + n : n);
  });
}

THAW_INLINE void Only::check(std::size_t count) const {
  if (groups.empty())
    throw ConfigError("Only", "no group is named, so nothing would train", "name one or more: Only{.groups = {-1}}");
  for (const int n : groups)
    if (const auto all = static_cast<std::ptrdiff_t>(count); n < -all || n >= all)
      throw ConfigError("Only", "group " + std::to_string(n) + " of " + std::to_string(count) + " layer groups",
                        "take numbers from " + std::to_string(-all) + " to " + std::to_string(all - 1));
}

THAW_INLINE void FreezeWhere::check(std::span<const std::string> names) const {
  if (std::ranges::none_of(names, [&](const std::string& name) { return glob_match(glob, name); }))
    throw ConfigError("FreezeWhere{\"" + glob + "\"}", "no layer group has such a name",
                      "did you mean \"" + nearest_name(glob, names) + "\"? The groups are: " + join_names(names, 40));
}

}  // namespace thaw

#endif
