// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <thaw/schedule/progress.hpp>

namespace thaw::detail {

/// Where a schedule stands that has only a part of a stage.
struct Position {
  Progress at;   ///< in whole steps, counted from the part's first
  double t = 0;  ///< exact
};

/// How far t may lie before a boundary, by rounding, and still count as having reached it: k/N and the sum of some
/// fractions are not always the same double.
inline constexpr double boundary_slack = 1e-12;

/// How many of the stage's steps lie before `boundary`, a fraction of the stage: those with t < boundary.
[[nodiscard]] inline std::int64_t steps_before(const Progress& stage, double boundary) {
  return static_cast<std::int64_t>(std::ceil((boundary - boundary_slack) * static_cast<double>(stage.steps)));
}

/// The position within [begin, end), a part of the stage, of a position in the stage: t' = (t - begin) / (end - begin).
/// Every step of the part is counted once; a part has at least 1.
[[nodiscard]] inline Position within(const Progress& stage, double t, double begin, double end) {
  const std::int64_t first = steps_before(stage, begin);
  const std::int64_t steps = std::max<std::int64_t>(1, steps_before(stage, end) - first);
  return {.at = {.step = std::clamp<std::int64_t>(stage.step - first, 0, steps - 1),
                 .steps = steps,
                 .steps_per_epoch = stage.steps_per_epoch},
          .t = std::clamp((t - begin) / (end - begin), 0.0, std::nextafter(1.0, 0.0))};
}

}  // namespace thaw::detail
