// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include <thaw/find/lr_curve.hpp>
#include <thaw/find/suggest.hpp>
#include <thaw/report/detail/numbers.hpp>
#include <thaw/report/detail/scale.hpp>

namespace thaw::detail {

/// Where the smoothed loss is lowest, if it is finite anywhere.
[[nodiscard]] inline std::optional<std::size_t> lowest_loss(const LRCurve& curve) {
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < curve.smoothed.size(); ++i)
    if (std::isfinite(curve.smoothed[i]) && (!best || curve.smoothed[i] < curve.smoothed[*best])) best = i;
  return best;
}

/// The losses worth a look: the smoothed ones until they are lowest, `raw` ones not much farther away, and as much of
/// the rise behind as shows that it rises. The whole curve where the loss never falls.
[[nodiscard]] inline Axis loss_axis(const LRCurve& curve, std::span<const double> raw = {}) {
  const std::optional<std::size_t> best = lowest_loss(curve);
  if (!best) return {};
  Extent falling{/*log=*/false}, all{/*log=*/false};
  falling.add(std::span(curve.smoothed).first(*best + 1));
  all.add(curve.smoothed);
  const std::optional<Range> core = falling.range(), whole = all.range();
  if (!core || !whole) return {};
  const double rise = (whole->high - core->high) / (core->high - core->low);
  return axis_around(*core, raw.first(std::min(*best + 1, raw.size())), std::min(rise, 0.35));
}

/// "valley 3.0e-4", "before_rise 1.0e-3 (take)" for the recommended one.
[[nodiscard]] inline std::string suggestion_label(const Suggestion& suggestion) {
  return suggestion.name + " " + scientific(suggestion.lr, 1) + (suggestion.recommended ? " (take)" : "");
}

}  // namespace thaw::detail
