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

/// A schedule is a pure function of the position in the stage; it holds no run state. Either form will do:
///
///     ScheduleValue operator()(const Progress&) const;     double operator()(double t) const;
///
/// It may offer `void check() const`, which throws ConfigError for values that make no sense.
template <class S>
concept Schedule = std::copy_constructible<S> && (std::is_invocable_r_v<ScheduleValue, const S&, const Progress&> ||
                                                  std::is_invocable_r_v<ScheduleValue, const S&, double>);

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
    value_ = [s = std::move(schedule)](const Progress& at) -> ScheduleValue {
      if constexpr (std::is_invocable_r_v<ScheduleValue, const S&, const Progress&>)
        return s(at);
      else
        return s(at.t());
    };
  }

  [[nodiscard]] ScheduleValue operator()(const Progress& at) const { return value_(at); }
  void check() const {
    if (check_) check_();
  }

 private:
  std::function<ScheduleValue(const Progress&)> value_;
  std::function<void()> check_;
};

/// The rate stays at its peak; the momentum is left alone.
struct Constant {
  [[nodiscard]] constexpr ScheduleValue operator()(const Progress&) const { return {}; }
};

}  // namespace thaw
