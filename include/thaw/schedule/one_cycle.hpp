// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include <thaw/core/error.hpp>
#include <thaw/schedule/anneal.hpp>
#include <thaw/schedule/schedule.hpp>

namespace thaw {

namespace detail {

inline void check_one_cycle(const char* name, double pct_start, double div, double div_final) {
  if (!(pct_start >= 0 && pct_start <= 1))
    throw ConfigError(name, "pct_start is " + number(pct_start), "give the rising part as a fraction in [0, 1]");
  if (!(div > 0 && div_final > 0))
    throw ConfigError(name, "divisors are " + number(div) + " and " + number(div_final),
                      "give positive divisors of the peak rate");
}

}  // namespace detail

/// One-cycle by fastai's convention: with rate multiplier m(t), t = step / steps,
///
///     t <  pct_start: m from 1/div to 1          momentum from high to low
///     t >= pct_start: m from 1 to 1/div_final    momentum from low to high
///
/// each along a cosine (or a line). The last value, at t = 1, is never applied. Units: multipliers of the peak rate.
/// Source: Smith 2018, arXiv:1803.09820; fastai's `fit_one_cycle`, whose phase limits are float32 (up to 3e-6 off).
struct OneCycle {
  double pct_start = 0.25;  ///< fraction of the steps in which the rate rises
  double div = 25;          ///< first rate = peak / div
  double div_final = 1e5;   ///< last rate = peak / div_final
  bool cycle_momentum = true;
  double momentum_high = 0.95, momentum_low = 0.85;
  Anneal anneal = Anneal::cosine;

  [[nodiscard]] ScheduleValue operator()(double t) const {
    const bool rising = t < pct_start;
    const double p = rising ? t / pct_start : pct_start < 1 ? (t - pct_start) / (1 - pct_start) : 1;
    const auto between = [&](double start, double peak, double end) {
      return rising ? thaw::anneal(anneal, start, peak, p) : thaw::anneal(anneal, peak, end, p);
    };
    ScheduleValue value = between(1 / div, 1, 1 / div_final);
    if (cycle_momentum) value.momentum = between(momentum_high, momentum_low, momentum_high);
    return value;
  }

  void check() const { detail::check_one_cycle("OneCycle", pct_start, div, div_final); }
};

/// One-cycle by PyTorch's convention (`torch.optim.lr_scheduler.OneCycleLR`): phases end at step pct_start N - 1 and
/// N - 1 of N, so that the last value is applied, and it is the *first* rate divided by `final_div_factor`. With
/// `three_phase`, the fall mirrors the rise and ends at step 2 pct_start N - 2; then the rate drops to its floor.
/// Where a phase has no length (PyTorch divides by zero there) its end value is taken.
struct TorchOneCycle {
  double pct_start = 0.3;
  double div_factor = 25;
  double final_div_factor = 1e4;
  bool three_phase = false;
  bool cycle_momentum = true;
  double max_momentum = 0.95, base_momentum = 0.85;
  Anneal anneal = Anneal::cosine;

  [[nodiscard]] ScheduleValue operator()(const Progress& at) const {
    const double step = static_cast<double>(at.step), last = static_cast<double>(at.steps) - 1;
    const double first = 1 / div_factor, floor = first / final_div_factor, top = pct_start * (last + 1) - 1;
    struct Phase {
      double end, lr_from, lr_to, momentum_from, momentum_to;
    };
    const std::array<Phase, 3> phases{
        Phase{top, first, 1, max_momentum, base_momentum},
        three_phase ? Phase{2 * top, 1, first, base_momentum, max_momentum}
                    : Phase{last, 1, floor, base_momentum, max_momentum},
        Phase{last, first, floor, max_momentum, max_momentum},
    };
    const std::size_t count = three_phase ? 3 : 2;
    std::size_t now = 0;
    while (now + 1 < count && step > phases[now].end) ++now;
    const auto& [end, lr_from, lr_to, momentum_from, momentum_to] = phases[now];
    const double begin = now == 0 ? 0 : phases[now - 1].end;
    const double p = end > begin ? (step - begin) / (end - begin) : 1;
    ScheduleValue value = thaw::anneal(anneal, lr_from, lr_to, p);
    if (cycle_momentum) value.momentum = thaw::anneal(anneal, momentum_from, momentum_to, p);
    return value;
  }

  void check() const { detail::check_one_cycle("TorchOneCycle", pct_start, div_factor, final_div_factor); }
};

/// One-cycle by fastai v1's convention (`OneCycleScheduler`): the rise takes a = floor(pct_start N) of N steps,
///
///     step k <= a: m from 1/div_factor to 1, at k / a            momentum from high to low
///     step k >  a: m from 1 to 1/final_div,  at (k - a) / (N - a)    momentum from low to high
///
/// each along a cosine; a phase has at least 1 step. Units: multipliers of the peak rate.
struct OneCycleV1 {
  double pct_start = 0.3;
  double div_factor = 25;               ///< first rate = peak / div_factor
  double final_div = div_factor * 1e4;  ///< last rate = peak / final_div
  bool cycle_momentum = true;
  double momentum_high = 0.95, momentum_low = 0.85;

  [[nodiscard]] ScheduleValue operator()(const Progress& at) const {
    const auto a = static_cast<std::int64_t>(static_cast<double>(at.steps) * pct_start);
    const std::int64_t rise = std::max<std::int64_t>(1, a), fall = std::max<std::int64_t>(1, at.steps - a);
    const bool rising = at.step <= rise;
    const double p = rising ? static_cast<double>(at.step) / static_cast<double>(rise)
                            : static_cast<double>(at.step - rise) / static_cast<double>(fall);
    const auto between = [&](double start, double peak, double end) {
      return rising ? anneal_cosine(start, peak, p) : anneal_cosine(peak, end, p);
    };
    ScheduleValue value = between(1 / div_factor, 1, 1 / final_div);
    if (cycle_momentum) value.momentum = between(momentum_high, momentum_low, momentum_high);
    return value;
  }

  void check() const { detail::check_one_cycle("OneCycleV1", pct_start, div_factor, final_div); }
};

}  // namespace thaw
