// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>

#include <thaw/core/error.hpp>
#include <thaw/schedule/anneal.hpp>
#include <thaw/schedule/detail/check.hpp>

namespace thaw {

/// The peak rate, then down along half a cosine: 1 for t < pct_start, from there to 1 / div_final at t = 1, which is
/// never applied. The momentum is left alone. Units: multipliers of the peak rate. Source: fastai's `fit_flat_cos`,
/// whose phase limits are float32.
struct FlatCosine {
  double pct_start = 0.75;  ///< fraction of the steps at the peak rate
  double div_final = 1e5;   ///< last rate = peak / div_final

  [[nodiscard]] double operator()(double t) const {
    return t < pct_start || pct_start >= 1 ? 1 : anneal_cosine(1, 1 / div_final, (t - pct_start) / (1 - pct_start));
  }

  void check() const {
    detail::check_fraction("FlatCosine", "pct_start", pct_start);
    if (!(div_final >= 1))
      throw ConfigError("FlatCosine", "div_final is " + detail::number(div_final),
                        "give a divisor of the peak rate, 1 or more");
  }
};

}  // namespace thaw
