// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <thaw/find/lr_curve.hpp>
#include <thaw/find/suggest.hpp>
#include <thaw/report/detail/lr_view.hpp>
#include <thaw/report/detail/scale.hpp>
#include <thaw/report/detail/text_canvas.hpp>
#include <thaw/report/detail/ticks.hpp>

namespace thaw::detail {

/// A plot of `columns` by `rows` characters with `left` columns of labels before its y axis.
struct TextFrame {
  std::size_t columns = 0, rows = 0, left = 0;
  Scale x = {}, y = {};
  std::vector<Tick> x_ticks = {}, y_ticks = {};
};

/// None where the curve has nothing to show.
[[nodiscard]] inline std::optional<TextFrame> text_frame(const LRCurve& curve, std::size_t width, std::size_t height) {
  Extent rates{/*log=*/true}, losses{/*log=*/false};
  rates.add(curve.lr);
  losses.add(curve.smoothed);
  if (!rates.range() || !losses.range()) return std::nullopt;

  TextFrame f{.rows = std::max<std::size_t>(height, 4)};
  f.x = {.range = padded(*rates.range(), /*log=*/true, 0), .log = true};
  f.y = {.range = shown(loss_axis(curve), losses, 0.06), .end = 0};
  f.y_ticks = linear_ticks(f.y.range, std::max<std::size_t>(f.rows / 2, 2));
  for (const Tick& tick : f.y_ticks) f.left = std::max(f.left, tick.label.size() + 1);
  f.columns = std::max<std::size_t>(width, f.left + 17) - f.left - 1;
  f.x_ticks = log_ticks(f.x.range, std::max<std::size_t>(f.columns / 7, 2));
  constexpr double inside = 1e-6;  // so that both ends are in a cell
  f.x.end = static_cast<double>(f.columns) - inside;
  f.y.begin = static_cast<double>(f.rows) - inside;
  return f;
}

/// The x axis and its labels.
[[nodiscard]] inline std::string text_axis(const TextFrame& f, bool ascii) {
  std::vector<bool> ticked(f.columns);
  std::string labels;
  for (const Tick& tick : f.x_ticks) {
    const auto column = static_cast<std::size_t>(f.x(tick.value));
    const std::size_t middle = f.left + 1 + column, start = middle - std::min(middle, tick.label.size() / 2);
    if (tick.label.empty() || start < labels.size() + (labels.empty() ? 0 : 1)) continue;
    ticked[column] = true;
    labels.append(start - labels.size(), ' ').append(tick.label);
  }
  std::string line = std::string(f.left, ' ') + (ascii ? "+" : "└");
  for (const bool tick : ticked) line += ascii ? (tick ? "+" : "-") : (tick ? "┬" : "─");
  const std::string name = "learning rate";
  return line + "\n" + labels + "\n" + std::string(f.left + 1 + (f.columns - name.size()) / 2, ' ') + name + "\n";
}

/// The canvas with its axes.
[[nodiscard]] inline std::string text_plot(const TextFrame& f, const TextCanvas& canvas, bool ascii) {
  std::vector<std::string> labels(f.rows);
  for (const Tick& tick : f.y_ticks) labels[static_cast<std::size_t>(f.y(tick.value))] = tick.label;
  std::string text = fmt::format("{:>{}}\n", "loss", f.left);
  for (std::size_t row = 0; row < f.rows; ++row) {
    const bool tick = !labels[row].empty();
    text += fmt::format("{:>{}} ", labels[row], f.left - 1);
    text.append(ascii ? (tick ? "+" : "|") : (tick ? "┤" : "│")).append(canvas.row(row)).append("\n");
  }
  return text + text_axis(f, ascii);
}

/// The suggestions by number, in lines of at most `width` columns.
[[nodiscard]] inline std::string numbered(const std::vector<Suggestion>& suggestions, std::size_t width) {
  std::string text, line;
  for (std::size_t i = 0; i < suggestions.size(); ++i) {
    const std::string entry = fmt::format("   {} {}", i + 1, suggestion_label(suggestions[i]));
    if (!line.empty() && line.size() + entry.size() > width) text += std::exchange(line, "") + "\n";
    line += entry;
  }
  return line.empty() ? text : text + line + "\n";
}

}  // namespace thaw::detail
