// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cmath>
#include <string>

#include <thaw/core/error.hpp>
#include <thaw/schedule/anneal.hpp>
#include <thaw/schedule/detail/check.hpp>

namespace thaw {

/// From the peak rate down to `end` along a line: 1 + t (end - 1). Units: multipliers of the peak rate.
/// Equals `torch.optim.lr_scheduler.LinearLR(start_factor=1, end_factor=end, total_iters=steps)`.
struct LinearDecay {
  double end = 0;  ///< at t = 1, which is never applied

  [[nodiscard]] constexpr double operator()(double t) const { return anneal_linear(1, end, t); }

  void check() const { detail::check_fraction("LinearDecay", "end", end); }
};

/// From the peak rate down to `end` along a power: end + (1 - end) (1 - t)^power. Units: multipliers of the peak rate.
/// With end 0 it equals `torch.optim.lr_scheduler.PolynomialLR(total_iters=steps, power=power)`.
struct Polynomial {
  double power = 1;
  double end = 0;  ///< at t = 1, which is never applied

  [[nodiscard]] double operator()(double t) const { return anneal_polynomial(end, 1, 1 - t, power); }

  void check() const {
    if (!(power > 0 && std::isfinite(power)))
      throw ConfigError("Polynomial", "power is " + detail::number(power), "give a positive power; 1 is a line");
    detail::check_fraction("Polynomial", "end", end);
  }
};

/// From the peak rate down to `end`, by the same factor each step: end^t. Units: multipliers of the peak rate.
/// Equals `torch.optim.lr_scheduler.ExponentialLR(gamma=end ** (1 / steps))`, stepped after every batch.
struct Exponential {
  double end = 0.01;  ///< at t = 1, which is never applied

  [[nodiscard]] double operator()(double t) const { return std::pow(end, t); }

  void check() const { detail::check_factor("Exponential", "end", end); }
};

}  // namespace thaw
