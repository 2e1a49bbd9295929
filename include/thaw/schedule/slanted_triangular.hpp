// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cmath>
#include <string>

#include <thaw/core/error.hpp>
#include <thaw/schedule/detail/check.hpp>
#include <thaw/schedule/progress.hpp>

namespace thaw {

/// Slanted triangular rates (ULMFiT): a short rise, then a long fall, both along a line. At step k of N, with
/// cut = floor(cut_frac N),
///
///     p = k / cut                                        while k < cut
///     p = 1 - (k - cut) / (cut (1 / cut_frac - 1))       after that, and not below 0
///     m = (1 + p (ratio - 1)) / ratio
///
/// Where there are too few steps for a rise (cut = 0) it falls from the first step: p = 1 - k / N. Units: multipliers
/// of the peak rate. Source: Howard & Ruder 2018, arXiv:1801.06146, equation 3, whose p is below 0 at the last steps
/// when cut_frac N is no whole number.
struct SlantedTriangular {
  double cut_frac = 0.1;  ///< fraction of the steps in which the rate rises
  double ratio = 32;      ///< peak rate / lowest rate

  [[nodiscard]] double operator()(const Progress& at) const {
    const auto step = static_cast<double>(at.step), steps = static_cast<double>(at.steps);
    const double cut = std::floor(steps * cut_frac);
    double p = 0;
    if (step < cut)
      p = step / cut;
    else if (cut > 0)
      p = std::max(0.0, 1 - (step - cut) / (cut * (1 / cut_frac - 1)));
    else
      p = 1 - step / steps;
    return (1 + p * (ratio - 1)) / ratio;
  }

  void check() const {
    detail::check_fraction("SlantedTriangular", "cut_frac", cut_frac);
    if (!(ratio >= 1 && std::isfinite(ratio)))
      throw ConfigError("SlantedTriangular", "ratio is " + detail::number(ratio),
                        "give how many times the lowest rate the peak is, 1 or more");
  }
};

}  // namespace thaw
