// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <thaw/core/compiled.hpp>
#include <thaw/find/lr_curve.hpp>
#include <thaw/find/suggest.hpp>
#include <thaw/report/detail/lr_text.hpp>
#include <thaw/report/detail/lr_view.hpp>
#include <thaw/report/detail/text_canvas.hpp>
#include <thaw/report/svg.hpp>

namespace thaw {

/// The curve as a figure: loss by rate (logarithmic), raw and smoothed, and of held-out samples where there are some,
/// with every suggestion that it gives. The far
/// end, where the loss explodes, is cut off so that the part before it can be read.
[[nodiscard]] Figure to_figure(const LRCurve& curve);

/// `to_figure(curve)` as SVG text.
[[nodiscard]] std::string to_svg(const LRCurve& curve);

/// Writes `to_svg(curve)` to a file, which is replaced in one step or not at all. Throws FileError.
void write_svg(const LRCurve& curve, const std::filesystem::path& path);

/// How a plot in the terminal looks.
struct TextPlot {
  std::size_t width = 72;   ///< columns in all, at least those of the labels and 16 more
  std::size_t height = 14;  ///< rows between the axes, at least 4
  bool ascii = false;       ///< for terminals and logs without Unicode
};

/// The smoothed curve as text, its suggestions marked by number and listed below. Ends with a line break.
[[nodiscard]] std::string to_text(const LRCurve& curve, TextPlot plot = {});

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

#if THAW_DEFINES(report)

namespace thaw {

THAW_INLINE Figure to_figure(const LRCurve& curve) {
  Panel panel{.title = "loss", .y = detail::loss_axis(curve, curve.loss), .height = 300};
  panel.series = {{.name = "raw", .x = curve.lr, .y = curve.loss, .thin = true},
                  {.name = "smoothed", .x = curve.lr, .y = curve.smoothed}};
  if (curve.held_out.size() > 1)  // the first was before any step
    panel.series.push_back({.name = "held-out",
                            .x = {curve.held_out_lr.begin() + 1, curve.held_out_lr.end()},
                            .y = {curve.held_out.begin() + 1, curve.held_out.end()},
                            .color = 6});  // that of no suggestion
  for (const Suggestion& s : suggestions(curve))
    panel.markers.push_back(
        {.label = detail::suggestion_label(s), .x = s.lr, .y = s.loss, .color = 1 + panel.markers.size()});
  return {.title = "Loss by learning rate", .x = {.label = "learning rate", .log = true}, .panels = {std::move(panel)}};
}

THAW_INLINE std::string to_svg(const LRCurve& curve) {
  return to_svg(to_figure(curve));
}

THAW_INLINE void write_svg(const LRCurve& curve, const std::filesystem::path& path) {
  write_svg(to_figure(curve), path);
}

THAW_INLINE std::string to_text(const LRCurve& curve, TextPlot plot) {
  const std::optional<detail::TextFrame> frame = detail::text_frame(curve, plot.width, plot.height);
  if (!frame) return "loss by learning rate: no data to show\n";
  const std::vector<Suggestion> marked = suggestions(curve);
  detail::TextCanvas canvas{frame->columns, frame->rows, plot.ascii};
  const auto place = [&](double lr, double loss) { return detail::Point{frame->x(lr), frame->y(loss)}; };
  for (std::size_t i = 0; i < curve.lr.size(); ++i) {
    const std::size_t next = std::min(i + 1, curve.lr.size() - 1);
    canvas.line(place(curve.lr[i], curve.smoothed[i]), place(curve.lr[next], curve.smoothed[next]));
  }
  for (std::size_t i = 0; i < marked.size(); ++i)
    canvas.mark(place(marked[i].lr, marked[i].loss), static_cast<char>('1' + i));
  return detail::text_plot(*frame, canvas, plot.ascii) + detail::numbered(marked, plot.width);
}

}  // namespace thaw

#endif
