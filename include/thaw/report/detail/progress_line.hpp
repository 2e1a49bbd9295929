// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

#include <fmt/format.h>

#include <thaw/report/detail/numbers.hpp>
#include <thaw/report/detail/utf8.hpp>

namespace thaw::detail {

/// Where a stage stands, as its progress line shows it.
struct ProgressState {
  std::int64_t epoch = 0, epochs = 0;
  std::int64_t step = 0, steps = 0;  ///< of the stage
  double loss = 0;
  double lr = 0;                ///< of the last group
  double steps_per_second = 0;  ///< in this epoch, without validation; 0: not known yet
  double seconds_left = 0;      ///< of the whole plan, with validation
};

/// `width` columns of which `part` is full, in halves where Unicode can be shown.
[[nodiscard]] inline std::string progress_bar(double part, std::size_t width, bool unicode) {
  const auto halves = static_cast<std::size_t>(std::clamp(part, 0.0, 1.0) * 2 * static_cast<double>(width));
  const std::size_t full = halves / 2;
  std::string bar;
  for (std::size_t i = 0; i < width; ++i) {
    if (i < full)
      bar += unicode ? "━" : "=";
    else if (i == full && halves % 2 == 1)
      bar += unicode ? "╸" : "-";
    else
      bar += unicode ? "─" : " ";
  }
  return unicode ? bar : "[" + bar + "]";
}

/// One line of at most `columns`: epoch and step, and as far as they fit loss, time left, a bar, rate and speed.
[[nodiscard]] inline std::string progress_line(const ProgressState& at, std::size_t columns, bool unicode) {
  const std::string epoch = fmt::format("  epoch {}/{}", at.epoch, at.epochs);
  std::string rest = fmt::format("  {:>{}}/{}", at.step, std::to_string(at.steps).size(), at.steps);
  const auto add_if_fits = [&](const std::string& more, std::size_t reserved) {
    if (epoch.size() + rest.size() + more.size() + reserved <= columns) rest += more;
  };
  constexpr std::size_t least = 8, most = 30, around = 4;  // of the bar
  const bool timed = at.steps_per_second > 0;
  const int decimals = at.steps_per_second < 10 ? 2 : at.steps_per_second < 100 ? 1 : 0;
  add_if_fits(fmt::format("  loss {}", measured(at.loss)), 0);
  if (timed) add_if_fits(fmt::format("  {} left", clock_time(at.seconds_left)), 0);
  add_if_fits(fmt::format("  rate {}", scientific(at.lr, 1)), least + around);
  if (timed) add_if_fits(fmt::format("  {:.{}f} steps/s", at.steps_per_second, decimals), least + around);

  const std::size_t used = epoch.size() + rest.size() + around;
  if (columns < used + least) return shortened(epoch + rest, columns);
  const double part = static_cast<double>(at.step) / static_cast<double>(std::max<std::int64_t>(at.steps, 1));
  return epoch + "  " + progress_bar(part, std::min(columns - used, most), unicode) + rest;
}

}  // namespace thaw::detail
