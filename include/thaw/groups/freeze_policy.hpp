#pragma once

#include <concepts>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <thaw/core/error.hpp>
#include <thaw/schedule/progress.hpp>

namespace thaw {

/// A layer group as a freeze policy sees it; group 0 is nearest to the input.
struct GroupRef {
  std::size_t index = 0;
  std::size_t count = 1;
  std::string_view name;
};

/// Says whether a group is frozen at a moment of the stage: `bool operator()(const GroupRef&, const Progress&) const`.
/// A pure function that holds no run state. It may offer `void check(std::size_t groups) const`, which throws
/// ConfigError when the policy does not fit that many groups.
template <class P>
concept FreezePolicy =
    std::copy_constructible<P> && std::is_invocable_r_v<bool, const P&, const GroupRef&, const Progress&>;

/// Groups [0, n) are frozen, the rest trains; a negative n counts from the end: `FreezeTo{-1}` trains the last only.
struct FreezeTo {
  int n = -1;

  [[nodiscard]] constexpr bool operator()(const GroupRef& group, const Progress&) const {
    const auto count = static_cast<std::ptrdiff_t>(group.count);
    return static_cast<std::ptrdiff_t>(group.index) < (n < 0 ? count + n : n);
  }

  void check(std::size_t groups) const {
    const auto count = static_cast<std::ptrdiff_t>(groups);
    const std::string where = "FreezeTo{" + std::to_string(n) + "}";
    if (count == 1 && n == -1)
      throw ConfigError(where, "there is one layer group, so nothing would be frozen",
                        "cut the model into two or more groups, or take Unfrozen{}");
    if (n < -count || n >= count)
      throw ConfigError(where, "there are " + std::to_string(groups) + " layer groups",
                        "take a number from " + std::to_string(-count) + " to " + std::to_string(count - 1));
  }
};

/// Every group trains.
struct Unfrozen {
  [[nodiscard]] constexpr bool operator()(const GroupRef&, const Progress&) const { return false; }
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
    if constexpr (requires { policy.check(std::size_t{1}); })
      check_ = [policy](std::size_t groups) { policy.check(groups); };
    frozen_ = std::move(policy);
  }

  [[nodiscard]] explicit operator bool() const { return static_cast<bool>(frozen_); }
  [[nodiscard]] bool operator()(const GroupRef& group, const Progress& at) const { return frozen_(group, at); }
  void check(std::size_t groups) const {
    if (check_) check_(groups);
  }

 private:
  std::function<bool(const GroupRef&, const Progress&)> frozen_;
  std::function<void(std::size_t)> check_;
};

}  // namespace thaw
