#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <thaw/find/lr_curve.hpp>
#include <thaw/find/suggest.hpp>
#include <thaw/report/detail/lr_view.hpp>
#include <thaw/report/detail/text_canvas.hpp>
#include <thaw/report/svg.hpp>

namespace thaw {

/// The curve as a figure: loss by rate (logarithmic), raw and smoothed, with every suggestion that it gives. The far end,
/// where the loss explodes, is cut off so that the part before it can be read.
[[nodiscard]] inline Figure to_figure(const LRCurve& curve) {
  Panel panel{.title = "loss", .y = detail::loss_axis(curve, curve.loss), .height = 300};
  panel.series = {{.name = "raw", .x = curve.lr, .y = curve.loss, .thin = true},
                  {.name = "smoothed", .x = curve.lr, .y = curve.smoothed}};
  for (const Suggestion& s : suggestions(curve))
    panel.markers.push_back(
        {.label = detail::suggestion_label(s), .x = s.lr, .y = s.loss, .color = 1 + panel.markers.size()});
  return {.title = "Loss by learning rate", .x = {.label = "learning rate", .log = true}, .panels = {std::move(panel)}};
}

/// `to_figure(curve)` as SVG text.
[[nodiscard]] inline std::string to_svg(const LRCurve& curve) { return to_svg(to_figure(curve)); }

/// Writes `to_svg(curve)` to a file, which is replaced in one step or not at all. Throws FileError.
inline void write_svg(const LRCurve& curve, const std::filesystem::path& path) { write_svg(to_figure(curve), path); }

/// How a plot in the terminal looks.
struct TextPlot {
  std::size_t width = 72;   ///< columns in all, at least 24
  std::size_t height = 14;  ///< rows between the axes, at least 4
  bool ascii = false;       ///< for terminals and logs without Unicode
};

namespace detail {

/// The suggestions by number, in lines of at most `width` columns.
[[nodiscard]] inline std::string numbered(const std::vector<Suggestion>& suggestions, std::size_t width) {
  std::string text, line;
  for (std::size_t i = 0; i < suggestions.size(); ++i) {
    const std::string entry = fmt::format("   {} {}", i + 1, suggestion_label(suggestions[i]));
    if (!line.empty() && line.size() + entry.size() > width) text += line + "\n", line.clear();
    line += entry;
  }
  return line.empty() ? text : text + line + "\n";
}

/// The x axis with its labels, under a plot that starts at column `left`.
[[nodiscard]] inline std::string text_axis(const std::vector<Tick>& ticks, const Scale& x, std::size_t left, bool ascii) {
  const auto columns = static_cast<std::size_t>(x.end);
  std::vector<bool> ticked(columns);
  std::string labels;
  for (const Tick& tick : ticks) {
    if (tick.label.empty()) continue;
    const auto column = std::min(static_cast<std::size_t>(x(tick.value)), columns - 1);
    const std::size_t from = left + 1 + column - std::min(left + 1 + column, tick.label.size() / 2);
    ticked[column] = true;
    if (from < labels.size() + (labels.empty() ? 0 : 1)) continue;
    labels.append(from - labels.size(), ' ').append(tick.label);
  }
  std::string line = std::string(left, ' ') + (ascii ? "+" : "└");
  for (const bool tick : ticked) line += ascii ? (tick ? "+" : "-") : (tick ? "┬" : "─");
  return line + "\n" + labels + "\n";
}

}  // namespace detail

/// The smoothed curve as text, its suggestions marked by number and listed below. Ends with a line break.
[[nodiscard]] inline std::string to_text(const LRCurve& curve, TextPlot plot = {}) {
  detail::Extent rates{/*log=*/true}, losses{/*log=*/false};
  rates.add(curve.lr);
  losses.add(curve.smoothed);
  if (!rates.range() || !losses.range()) return "loss by learning rate: no data to show\n";

  const std::size_t rows = std::max<std::size_t>(plot.height, 4);
  detail::Scale x{.range = detail::padded(*rates.range(), /*log=*/true, 0), .log = true};
  detail::Scale y{.range = detail::shown(detail::loss_axis(curve), losses, 0.06)};
  const std::vector<detail::Tick> y_ticks = detail::linear_ticks(y.range, std::max<std::size_t>(rows / 2, 2));
  std::size_t left = 0;
  for (const detail::Tick& tick : y_ticks) left = std::max(left, tick.label.size() + 1);
  const std::size_t columns = std::max<std::size_t>(plot.width, 24) - left - 1;

  detail::TextCanvas canvas{columns, rows, plot.ascii};
  x.end = static_cast<double>(canvas.dots_wide()) - 1e-6;
  y.begin = static_cast<double>(canvas.dots_high()) - 1e-6;
  y.end = 0;
  const auto place = [&](double lr, double loss) { return detail::Point{x(lr), y(loss)}; };
  for (std::size_t i = 0; i + 1 < curve.lr.size(); ++i)
    canvas.line(place(curve.lr[i], curve.smoothed[i]), place(curve.lr[i + 1], curve.smoothed[i + 1]));
  const std::vector<Suggestion> found = suggestions(curve);
  for (std::size_t i = 0; i < found.size(); ++i)
    canvas.mark(place(found[i].lr, found[i].loss), static_cast<char>('1' + i));

  std::vector<std::string> labels(rows);
  y.begin = static_cast<double>(rows) - 1e-6;
  for (const detail::Tick& tick : y_ticks) labels[static_cast<std::size_t>(y(tick.value))] = tick.label;
  std::string text = fmt::format("{:>{}}\n", "loss", left);
  for (std::size_t row = 0; row < rows; ++row) {
    const bool tick = !labels[row].empty();
    text += fmt::format("{:>{}} {}{}\n", labels[row], left - 1, plot.ascii ? (tick ? "+" : "|") : (tick ? "┤" : "│"), canvas.row(row));
  }
  x.end = static_cast<double>(columns);
  text += detail::text_axis(detail::log_ticks(x.range, std::max<std::size_t>(columns / 7, 2)), x, left, plot.ascii);
  return text + fmt::format("{:>{}}\n", "learning rate", left + 1 + (columns + 13) / 2) + detail::numbered(found, plot.width);
}

}  // namespace thaw

/// `fmt::print("{}", curve)` plots the curve in the terminal, as `to_text(curve)` does.
template <>
struct fmt::formatter<thaw::LRCurve> {
  constexpr auto parse(format_parse_context& context) { return context.begin(); }
  template <class Context>
  auto format(const thaw::LRCurve& curve, Context& context) const {
    return fmt::format_to(context.out(), "{}", thaw::to_text(curve));
  }
};
