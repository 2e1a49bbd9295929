#pragma once

#include <concepts>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

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

// The forms in which a schedule may be called, in the order in which they are tried.
template <class S>
concept TakesBoth = std::is_invocable_r_v<ScheduleValue, const S&, const Progress&, double>;
template <class S>
concept TakesProgress = std::is_invocable_r_v<ScheduleValue, const S&, const Progress&>;
template <class S>
concept TakesPosition = std::is_invocable_r_v<ScheduleValue, const S&, double>;

}  // namespace detail

/// A schedule is a pure function of the position in the stage; it holds no run state. It is called with the exact
/// position t in [0, 1), or with the step, and gives a multiplier of the rate, or a multiplier and a momentum:
///
///     double operator()(double t) const;               ScheduleValue operator()(double t) const;
///     double operator()(const Progress&) const;        ScheduleValue operator()(const Progress&) const;
///
/// What can be called with Progress is. A schedule made of others takes `(const Progress&, double t)`, where t is exact
/// and Progress, within a part of a stage, is rounded to whole steps.
/// It may offer `void check() const`, which throws ConfigError for values that make no sense.
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
