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

/// Where the loss is lowest, if it is finite anywhere.
[[nodiscard]] inline std::optional<std::size_t> lowest_loss(std::span<const double> losses) {
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < losses.size(); ++i)
    if (std::isfinite(losses[i]) && (!best || losses[i] < losses[*best])) best = i;
  return best;
}

/// The losses worth a look: the smoothed ones until they are lowest, and all that are up to half as high again; the
/// `held_out` ones likewise; and as much of the rise behind as shows that it rises, up to a sixth of the loss at least.
/// What lies farther out is cut off. The whole curve where the loss never falls.
[[nodiscard]] inline Axis loss_axis(const LRCurve& curve, std::span<const double> held_out = {}) {
  Extent core{/*log=*/false}, all{/*log=*/false};
  for (const std::span<const double> losses : {std::span<const double>(curve.smoothed), held_out}) {
    all.add(losses);
    const std::optional<std::size_t> best = lowest_loss(losses);
    if (!best) continue;
    core.add(losses.first(*best + 1));
    for (const double loss : losses)
      if (loss <= losses[*best] + std::abs(losses[*best]) / 2) core.add(loss);
  }
  const std::optional<Range> range = core.range(), whole = all.range();
  if (!range || !whole) return {};
  const double length = range->high - range->low, sixth = std::abs(range->low) / 6 / length;
  return axis_around(*range, std::min((whole->high - range->high) / length, std::max(0.35, sixth)));
}

/// Whether one of several groups moves, and no other.
[[nodiscard]] inline bool is_of_one_group(const LRCurve& curve) {
  return curve.ratios.size() > 1 && std::ranges::count_if(curve.ratios, [](double ratio) { return ratio != 0; }) == 1;
}

/// The group whose rate LRCurve::lr is: the only one that moves, or else the last one.
[[nodiscard]] inline std::size_t group_of(const LRCurve& curve) {
  if (!is_of_one_group(curve)) return std::max<std::size_t>(curve.ratios.size(), 1) - 1;
  const auto moves = std::ranges::find_if(curve.ratios, [](double ratio) { return ratio != 0; });
  return static_cast<std::size_t>(moves - curve.ratios.begin());
}

/// Equal to the last but some bits, as rates that were multiplied and divided are.
[[nodiscard]] inline bool same_rate(double a, double b) {
  return std::abs(a - b) <= 1e-9 * std::abs(b);
}

/// "valley 3.0e-4", "before_rise 1.0e-3 (take)" for the recommended one.
[[nodiscard]] inline std::string suggestion_label(const Suggestion& suggestion) {
  return suggestion.name + " " + scientific(suggestion.lr, 1) + (suggestion.recommended ? " (take)" : "");
}

}  // namespace thaw::detail
