// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/schedule/detail/part.hpp>
#include <thaw/schedule/schedule.hpp>

namespace thaw {

/// A schedule that has a fraction of the steps to itself.
struct ChainPart {
  double fraction = 1;
  AnySchedule schedule = Constant{};
};

/// One schedule after the other; what `chain` makes.
struct Chain {
  std::vector<ChainPart> parts = {};

  [[nodiscard]] ScheduleValue operator()(const Progress& at) const { return (*this)(at, at.t()); }
  [[nodiscard]] ScheduleValue operator()(const Progress& at, double t) const {
    std::size_t now = 0;
    double begin = 0, end = parts[0].fraction;
    while (now + 1 < parts.size() && t >= end - detail::boundary_slack) {
      begin = end;
      end += parts[++now].fraction;
    }
    const auto part = detail::within(at, t, begin, now + 1 < parts.size() ? end : 1);
    return parts[now].schedule(part.at, part.t);
  }

  void check() const {
    double sum = 0;
    for (const ChainPart& part : parts) {
      if (!(part.fraction > 0))
        throw ConfigError("chain", "a fraction is " + detail::number(part.fraction),
                          "give positive fractions of the steps, or leave that part out");
      part.schedule.check();
      sum += part.fraction;
    }
    if (!(std::abs(sum - 1) <= 1e-9))
      throw ConfigError("chain", "the fractions sum to " + detail::number(sum), "make them sum to 1");
  }
};

/// One schedule after the other, each over its fraction of the steps as if that were the whole:
///
///     thaw::chain({{0.3, thaw::LinearDecay{.end = 0.5}}, {0.7, thaw::Cosine{}}})
///
/// A schedule of t sees t' = (t - b_k) / (b_k+1 - b_k), exactly, where b_k is the sum of the fractions before it; one
/// of Progress sees the steps that fall into its part, at least 1. Source: fastai's `combine_scheds`.
/// Throws ConfigError when the fractions are not positive or do not sum to 1, and for what its parts refuse.
[[nodiscard]] inline Chain chain(std::vector<ChainPart> parts) {
  Chain made{.parts = std::move(parts)};
  made.check();
  return made;
}

}  // namespace thaw
