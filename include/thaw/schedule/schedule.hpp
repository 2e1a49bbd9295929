// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cmath>
#include <concepts>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include <thaw/core/error.hpp>
#include <thaw/schedule/progress.hpp>

namespace thaw {

/// What a schedule says for one step.
struct ScheduleValue {
  double lr = 1;                   ///< multiplier of every layer group's peak rate
  std::optional<double> momentum;  ///< SGD's momentum or Adam's beta1, absolute; none leaves it alone

  constexpr ScheduleValue() = default;
  constexpr ScheduleValue(double lr_multiplier) : lr(lr_multiplier) {}
  constexpr ScheduleValue(double lr_multiplier, double momentum_value) : lr(lr_multiplier), momentum(momentum_value) {}
};

namespace detail {

/// Throws ConfigError for a value that no optimizer can take. `when`: " at step 3 of 10", or nothing.
inline void check_value(const ScheduleValue& value, const std::string& where, const std::string& when = "") {
  if (!std::isfinite(value.lr) || value.lr < 0)
    throw ConfigError(where, "its schedule gives a rate multiplier of " + number(value.lr) + when,
                      "return a finite number, 0 or more");
  if (value.momentum && !(*value.momentum >= 0 && *value.momentum < 1))
    throw ConfigError(where, "its schedule gives a momentum of " + number(*value.momentum) + when,
                      "return a number in [0, 1)");
}

// The forms in which a schedule may be called, in the order in which they are tried.
template <class S>
concept TakesBoth = std::is_invocable_r_v<ScheduleValue, const S&, const Progress&, double>;
template <class S>
concept TakesProgress = std::is_invocable_r_v<ScheduleValue, const S&, const Progress&>;
template <class S>
concept TakesPosition = std::is_invocable_r_v<ScheduleValue, const S&, double>;

/// Whether a function, as it was written, takes or returns a whole number: t would be cut to 0 on its way in, and
/// `p.step / p.steps` is 0.
template <class F>
inline constexpr bool has_integers = false;
template <class R, class... P>
inline constexpr bool has_integers<R (*)(P...)> = std::integral<R> || (std::integral<std::remove_cvref_t<P>> || ...);
template <class R, class... P>
inline constexpr bool has_integers<R (*)(P...) noexcept> = has_integers<R (*)(P...)>;
template <class C, class R, class... P>
inline constexpr bool has_integers<R (C::*)(P...)> = has_integers<R (*)(P...)>;
template <class C, class R, class... P>
inline constexpr bool has_integers<R (C::*)(P...) const> = has_integers<R (*)(P...)>;
template <class C, class R, class... P>
inline constexpr bool has_integers<R (C::*)(P...) const noexcept> = has_integers<R (*)(P...)>;

template <class S, class... Arguments>
inline constexpr bool returns_integer = [] {
  if constexpr (std::is_invocable_v<const S&, Arguments...>)
    return std::integral<std::invoke_result_t<const S&, Arguments...>>;
  else
    return false;
}();

template <class S>
inline constexpr bool is_whole_numbered = [] {
  if constexpr (TakesBoth<S>)
    return returns_integer<S, const Progress&, double>;
  else if constexpr (TakesProgress<S>)
    return returns_integer<S, const Progress&>;
  else if constexpr (requires { &S::operator(); })
    return has_integers<decltype(&S::operator())>;
  else
    return has_integers<S> || returns_integer<S, double>;
}();

}  // namespace detail

/// A schedule is a pure function of the position in the stage; it holds no run state. It is called with the exact
/// position t in [0, 1), or with the step, and gives a multiplier of the rate, or a multiplier and a momentum:
///
///     double operator()(double t) const;               ScheduleValue operator()(double t) const;
///     double operator()(const Progress&) const;        ScheduleValue operator()(const Progress&) const;
///
/// What can be called with Progress is. Whole numbers as position or multiplier do not compile. A schedule made of
/// others takes `(const Progress&, double t)`, where t is exact and Progress, within a part of a stage, is rounded to
/// whole steps. It may offer `void check() const`, which throws ConfigError for values that make no sense.
template <class S>
concept Schedule =
    std::copy_constructible<S> && (detail::TakesBoth<S> || detail::TakesProgress<S> || detail::TakesPosition<S>);

/// Any Schedule, by value.
class AnySchedule {
 public:
  template <class S>
    requires(!std::same_as<std::remove_cvref_t<S>, AnySchedule>)
  AnySchedule(S schedule) {
    static_assert(Schedule<S>,
                  "thaw: a schedule must be callable as `double(double t) const` or as "
                  "`thaw::ScheduleValue(const thaw::Progress&) const`");
    static_assert(!detail::is_whole_numbered<S>,
                  "thaw: a schedule takes and returns floating-point numbers: a whole one cuts t, which is below 1, "
                  "and step / steps to 0");
    static_assert(requires { schedule.check(); } || !requires { &S::check; },
                  "thaw: a schedule's `check` must be callable without arguments");
    if constexpr (requires { schedule.check(); }) check_ = [schedule] { schedule.check(); };
    value_ = [s = std::move(schedule)]([[maybe_unused]] const Progress& at,
                                       [[maybe_unused]] double t) -> ScheduleValue {
      if constexpr (detail::TakesBoth<S>)
        return s(at, t);
      else if constexpr (detail::TakesProgress<S>)
        return s(at);
      else
        return s(t);
    };
  }

  [[nodiscard]] ScheduleValue operator()(const Progress& at) const { return value_(at, at.t()); }
  /// In a part of a stage: `t` exact, `at` in whole steps.
  [[nodiscard]] ScheduleValue operator()(const Progress& at, double t) const { return value_(at, t); }
  void check() const {
    if (check_) check_();
  }

 private:
  std::function<ScheduleValue(const Progress&, double)> value_;
  std::function<void()> check_;
};

/// The rate stays at its peak; the momentum is left alone.
struct Constant {
  [[nodiscard]] constexpr double operator()(double) const { return 1; }
};

}  // namespace thaw
