// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cmath>
#include <string>

#include <thaw/core/error.hpp>
#include <thaw/schedule/anneal.hpp>
#include <thaw/schedule/detail/check.hpp>
#include <thaw/schedule/detail/part.hpp>

namespace thaw {

/// From the peak rate down to `end` along half a cosine: end + (1 - end) (1 + cos(pi t)) / 2. Units: multipliers of the
/// peak rate. Equals `torch.optim.lr_scheduler.CosineAnnealingLR(T_max=steps, eta_min=end * peak)`.
struct Cosine {
  double end = 0;  ///< at t = 1, which is never applied

  [[nodiscard]] double operator()(double t) const { return anneal_cosine(1, end, t); }

  void check() const { detail::check_fraction("Cosine", "end", end); }
};

/// Cosine, restarted: `cycles` of them, each `mult` times as long as the one before (SGDR). Cycles are fractions of the
/// stage: with mult 2, three of them take 1/7, 2/7 and 4/7 of the steps.
/// Source: Loshchilov & Hutter 2017, arXiv:1608.03983; fastai's `fit_sgdr`; `CosineAnnealingWarmRestarts` of PyTorch.
struct CosineRestarts {
  int cycles = 3;
  double mult = 2;
  double end = 0;  ///< of every cycle

  [[nodiscard]] double operator()(double t) const {
    const double total = mult == 1 ? cycles : (std::pow(mult, cycles) - 1) / (mult - 1);
    double position = t * total, length = 1;  // in units of the first cycle
    for (int next = 1; next < cycles && position >= length - detail::boundary_slack * total; ++next) {
      position = std::max(0.0, position - length);
      length *= mult;
    }
    return anneal_cosine(1, end, position / length);
  }

  void check() const {
    if (cycles < 1) throw ConfigError("CosineRestarts", std::to_string(cycles) + " cycles", "give at least 1");
    if (!(mult > 0 && std::isfinite(std::pow(mult, cycles))))
      throw ConfigError("CosineRestarts", "mult is " + detail::number(mult),
                        "give how many times as long as the one before a cycle is: 1 for equal ones, 2 to double them");
    detail::check_fraction("CosineRestarts", "end", end);
  }
};

}  // namespace thaw
