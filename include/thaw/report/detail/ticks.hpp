// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include <thaw/report/detail/numbers.hpp>
#include <thaw/report/detail/scale.hpp>
#include <thaw/report/detail/utf8.hpp>

namespace thaw::detail {

struct Tick {
  double value = 0;
  std::string label = {};  ///< empty: a minor tick
};

/// The smallest of 1, 2, 5, 10, 20, ... times a power of ten that is not below `least` > 0.
[[nodiscard]] inline double nice_step(double least) {
  const double decade = std::pow(10, std::floor(std::log10(least)));
  for (const double multiple : {1.0, 2.0, 5.0})
    if (multiple * decade >= least * (1 - 1e-9)) return multiple * decade;
  return 10 * decade;
}

/// floor(log10(|value|)), forgiving the last bits of a computed power of ten.
[[nodiscard]] inline int exponent_of(double value) {
  return static_cast<int>(std::floor(std::log10(std::abs(value)) + 1e-9));
}

/// With as many digits as tell ticks `step` apart; as a power of ten where the axis' `largest` value has many zeros.
[[nodiscard]] inline std::string linear_label(double value, double step, double largest) {
  if (value == 0) return "0";
  const int exponent = exponent_of(largest), digits = exponent - exponent_of(step);
  if (exponent < -3 || exponent >= 12 || (exponent >= 7 && digits <= 2))
    return scientific(value, std::max(0, exponent_of(value) - exponent_of(step)));
  return fmt::format("{:.{}f}", value, std::max(0, -exponent_of(step)));
}

/// At most `most` (>= 2) labelled ticks at multiples of 1, 2 or 5 times a power of ten, inside `range`.
[[nodiscard]] inline std::vector<Tick> linear_ticks(Range range, std::size_t most) {
  double step = nice_step((range.high - range.low) / static_cast<double>(most)), first = 0, last = 0;
  const auto count_ticks = [&] {
    first = std::ceil(range.low / step - 1e-9);
    last = std::floor(range.high / step + 1e-9);
    return last - first + 1;
  };
  while (count_ticks() > static_cast<double>(most)) step = nice_step(1.5 * step);
  const double largest = std::max(std::abs(first), std::abs(last)) * step;
  std::vector<Tick> ticks;
  for (int i = 0; first + i <= last; ++i) {
    const double value = (first + i) * step;
    ticks.push_back({.value = value, .label = linear_label(value, step, largest)});
  }
  return ticks;
}

[[nodiscard]] inline std::string log_label(double value) {
  return value >= 1 && value < 1e4 ? fmt::format("{:.0f}", value) : scientific(value, 0);
}

/// At most `most` (>= 2) labels on a logarithmic axis: 1, 2 and 5 times every power of ten where they fit, else powers
/// of ten, else every nth of them; unlabelled ticks in between. `range` must be positive. Below about one decade, where
/// these are too few, the ticks are linear.
[[nodiscard]] inline std::vector<Tick> log_ticks(Range range, std::size_t most) {
  const double low = std::log10(range.low), high = std::log10(range.high);
  const bool with_2_and_5 = 3 * (high - low) + 1 <= static_cast<double>(most);
  const int powers = static_cast<int>(std::floor(high + 1e-9)) - static_cast<int>(std::ceil(low - 1e-9)) + 1;
  const int room = static_cast<int>(most), every = std::max(1, (powers + room - 1) / room);
  std::vector<Tick> ticks;
  std::size_t labels = 0;
  for (int exponent = static_cast<int>(std::floor(low)); exponent <= high + 1e-9; ++exponent)
    for (int digit = 1; digit <= (every == 1 ? 9 : 1); ++digit) {
      const double value = digit * std::pow(10, exponent);
      if (value < range.low * (1 - 1e-9) || value > range.high * (1 + 1e-9)) continue;
      const bool labelled = digit == 1 ? exponent % every == 0 : with_2_and_5 && (digit == 2 || digit == 5);
      labels += labelled ? 1 : 0;
      ticks.push_back({.value = value, .label = labelled ? log_label(value) : ""});
    }
  return labels < 2 ? linear_ticks(range, most) : ticks;
}

/// One for each row. Of names that are too long the end is kept, by which dotted ones differ.
[[nodiscard]] inline std::vector<Tick> row_ticks(const std::vector<std::string>& names) {
  constexpr std::size_t most = 18;
  std::vector<Tick> ticks;
  for (const std::string& name : names) {
    std::string_view end = name;
    if (std::size_t width = display_width(name); width > most)
      for (; width > most - 2; --width) static_cast<void>(next_character(end));
    const auto row = static_cast<double>(ticks.size());
    ticks.push_back({.value = row, .label = (end.size() < name.size() ? ".." : "") + std::string(end)});
  }
  return ticks;
}

}  // namespace thaw::detail
