// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

#include <fmt/format.h>

namespace thaw::detail {

/// "%e" without padding: 3.0e-4, 1e5, 0.
[[nodiscard]] inline std::string scientific(double value, int digits) {
  if (value == 0) return "0";
  std::string text = fmt::format("{:.{}e}", value, digits);
  const std::size_t exponent = text.find('e') + 1;
  if (text[exponent] == '+') text.erase(exponent, 1);
  const std::size_t first = exponent + (text[exponent] == '-' ? 1 : 0);
  while (first + 1 < text.size() && text[first] == '0') text.erase(first, 1);
  return text;
}

/// Four decimals, or four digits where those would say little. In ten characters, but for the likes of -1e-100.
[[nodiscard]] inline std::string measured(double value) {
  const double size = std::abs(value);
  const bool plain = value == 0 || (size >= 1e-3 && size < 9999.99995) || !std::isfinite(value);
  return plain ? fmt::format("{:.4f}", value) : scientific(value, 3);
}

/// 1291098 as "1,291,098".
[[nodiscard]] inline std::string with_separators(std::int64_t count) {
  std::string text = std::to_string(count);
  const std::size_t sign = count < 0 ? 1 : 0;
  for (std::size_t i = text.size(); i > sign + 3;) text.insert(i -= 3, 1, ',');
  return text;
}

/// "850 MB" below ten gigabytes, then "12.3 GB".
[[nodiscard]] inline std::string memory_size(std::int64_t bytes) {
  const double megabytes = static_cast<double>(bytes) / 1e6;
  return megabytes < 9999.5 ? fmt::format("{:.0f} MB", std::ceil(megabytes))
                            : fmt::format("{:.1f} GB", megabytes / 1e3);
}

/// Whole seconds as "0:07", "12:34" or "1:02:03".
[[nodiscard]] inline std::string clock_time(double seconds) {
  const auto s = std::int64_t{std::llround(std::min(std::max(seconds, 0.0), 3.6e9))};
  if (s < 3600) return fmt::format("{}:{:02}", s / 60, s % 60);
  return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

/// "0.42s" below ten seconds, "12.3s" below a minute, then as `clock_time`.
[[nodiscard]] inline std::string duration(double seconds) {
  if (seconds < 9.995) return fmt::format("{:.2f}s", seconds);
  return seconds < 59.95 ? fmt::format("{:.1f}s", seconds) : clock_time(seconds);
}

}  // namespace thaw::detail
