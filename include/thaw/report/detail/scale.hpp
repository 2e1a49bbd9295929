// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <span>

#include <thaw/report/figure.hpp>

namespace thaw::detail {

/// A closed interval of finite values.
struct Range {
  double low = 0, high = 1;
};

/// The value as an axis shows it: NaN where it has no place there, and never so large that differences overflow.
[[nodiscard]] inline double on_axis(double value, bool log) {
  constexpr double largest = 1e250;
  if (!std::isfinite(value) || (log && value <= 0)) return std::numeric_limits<double>::quiet_NaN();
  return std::clamp(value, log ? 1 / largest : -largest, largest);
}

/// The values that an axis can show, from the smallest to the largest that was added.
class Extent {
 public:
  explicit Extent(bool log) : log_(log) {}

  void add(double value) {
    value = on_axis(value, log_);
    if (std::isnan(value)) return;
    range_ = range_ ? Range{std::min(range_->low, value), std::max(range_->high, value)} : Range{value, value};
  }
  void add(std::span<const double> values) {
    for (const double value : values) add(value);
  }

  [[nodiscard]] std::optional<Range> range() const { return range_; }

 private:
  bool log_;
  std::optional<Range> range_;
};

/// `range` with a margin of `part` of its length at both ends, and opened up where it is (nearly) a single value.
[[nodiscard]] inline Range padded(Range range, bool log, double part) {
  if (log) {
    const double length = std::log10(range.high) - std::log10(range.low);
    if (length < 1e-6) return {range.low / 2, range.high * 2};
    const double factor = std::pow(10, part * length);
    return {range.low / factor, range.high * factor};
  }
  const double size = std::max(std::abs(range.low), std::abs(range.high));
  const double length = range.high - range.low;
  if (length <= 1e-6 * size || size < 1e-290) {
    const double around = size < 1e-290 ? 1 : size / 10;
    return {range.low - around, range.high + around};
  }
  return {range.low - part * length, range.high + part * length};
}

/// Limits that show all of `core`, with `room` above it (in lengths of it). None where `core` is a single value.
[[nodiscard]] inline Axis axis_around(Range core, double room) {
  const double length = core.high - core.low, margin = 0.06 * length;
  if (length < 1e-3 * std::max(std::abs(core.low), std::abs(core.high))) return {};
  return {.lowest = core.low - margin, .highest = core.high + std::max(margin, room * length)};
}

/// What `axis` shows of data of this extent.
[[nodiscard]] inline Range shown(const Axis& axis, const Extent& extent, double part) {
  const auto usable = [&](const std::optional<double>& limit) {
    return limit && std::isfinite(*limit) && (!axis.log || *limit > 0) ? limit : std::nullopt;
  };
  const std::optional<double> lowest = usable(axis.lowest), highest = usable(axis.highest);
  Range range = extent.range().value_or(axis.log ? Range{0.1, 1} : Range{0, 1});
  if (lowest) range = {*lowest, std::max(*lowest, range.high)};
  if (highest) range = {std::min(range.low, *highest), *highest};
  range = padded(range, axis.log, part);
  if (lowest && *lowest < range.high) range.low = *lowest;
  if (highest && *highest > range.low) range.high = *highest;
  return range;
}

/// Maps values onto the interval from `begin` to `end`, in px or characters.
struct Scale {
  Range range = {};
  bool log = false;
  double begin = 0, end = 1;

  /// Values far outside land just far enough outside for their line's slope to look right. NaN where there is no place.
  [[nodiscard]] double operator()(double value) const {
    const auto place = [&](double v) { return log ? std::log10(v) : v; };
    const double low = place(range.low), part = (place(on_axis(value, log)) - low) / (place(range.high) - low);
    return begin + (end - begin) * std::clamp(part, -50.0, 50.0);
  }
};

}  // namespace thaw::detail
