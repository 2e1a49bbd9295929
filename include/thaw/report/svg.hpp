// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/report/detail/svg_layout.hpp>
#include <thaw/report/detail/write_file.hpp>
#include <thaw/report/figure.hpp>

namespace thaw {

namespace detail {

/// What all panels of a figure share.
struct FigureFrame {
  double width = 0;
  double left = 0, right = 0;  ///< of the plot areas
  Scale x = {};
  std::vector<Tick> x_ticks = {};
};

[[nodiscard]] Scale y_scale(const Panel& panel);

[[nodiscard]] std::vector<Tick> ticks(const Scale& scale, std::size_t most);

[[nodiscard]] std::vector<Tick> y_ticks(const Panel& panel);

[[nodiscard]] FigureFrame frame(const Figure& figure);

/// Draws one panel below `top` and returns where it ends.
double draw_panel(SvgWriter& svg, const Figure& figure, const Panel& panel, const FigureFrame& f, double top);

}  // namespace detail

/// The figure as one SVG element that needs nothing outside itself: light or dark as the reader's system is, and as
/// wide as its place. Names are escaped; values that are not finite leave gaps; a panel without data says so.
[[nodiscard]] std::string to_svg(const Figure& figure);

/// Writes `to_svg(figure)` to a file, which is replaced in one step or not at all. Throws FileError.
void write_svg(const Figure& figure, const std::filesystem::path& path);

}  // namespace thaw

#if THAW_DEFINES(report)

namespace thaw::detail {

THAW_INLINE Scale y_scale(const Panel& panel) {
  if (const auto rows = static_cast<double>(panel.y.rows.size()); rows > 0)
    return {.range = {rows - 0.5, -0.5}};  // downwards
  Extent extent{panel.y.log};
  for (const Series& series : panel.series) extent.add(series.y);
  for (const Marker& marker : panel.markers) extent.add(marker.y);
  return {.range = shown(panel.y, extent, 0.06), .log = panel.y.log};
}

THAW_INLINE std::vector<Tick> ticks(const Scale& scale, std::size_t most) {
  return scale.log ? log_ticks(scale.range, most) : linear_ticks(scale.range, most);
}

THAW_INLINE std::vector<Tick> y_ticks(const Panel& panel) {
  if (!has_data(panel)) return {};
  if (!panel.y.rows.empty()) return row_ticks(panel.y.rows);
  return ticks(y_scale(panel), std::max<std::size_t>(3, static_cast<std::size_t>(panel.height / 30)));
}

THAW_INLINE FigureFrame frame(const Figure& figure) {
  Extent extent{figure.x.log};
  double labels = 24;
  for (const Panel& panel : figure.panels) {
    if (!has_data(panel)) continue;
    for (const Series& series : panel.series) extent.add(series.x);
    for (const Marker& marker : panel.markers) extent.add(marker.x);
    for (const Block& block : panel.blocks) extent.add(block.from), extent.add(block.to);
    for (const Tick& tick : y_ticks(panel)) labels = std::max(labels, text_width(tick.label));
  }
  const double width = std::max(figure.width, labels + 180);
  FigureFrame f{.width = width, .left = labels + 20, .right = width - 20};
  f.x = {.range = shown(figure.x, extent, 0.015), .log = figure.x.log, .begin = f.left, .end = f.right};
  double right = f.right;  // room for a stage's name that starts near it
  for (const Boundary& b : figure.boundaries)
    if (const double part = (f.x(b.x) - f.left) / (f.right - f.left); part > 0 && part <= 1)
      right = std::min(right, f.left + (width - 10 - name_width(b.name, b.strong) - f.left) / part);
  f.x.end = f.right = std::max(right, f.right - width / 4);
  if (extent.range())
    f.x_ticks = ticks(f.x, std::max<std::size_t>(3, static_cast<std::size_t>((f.right - f.left) / 62)));
  return f;
}

THAW_INLINE double draw_panel(SvgWriter& svg, const Figure& figure, const Panel& panel, const FigureFrame& f,
                              double top) {
  const bool first = &panel == &figure.panels.front(), last = &panel == &figure.panels.back();
  const std::vector<LegendEntry> entries = legend(panel, f.left, f.width - 10);
  draw_header(svg, panel, entries, {f.left, top + 13});
  top += 24 + (entries.empty() ? 0 : row_height * static_cast<double>(entries.back().row));
  if (first) {
    const std::vector<BoundaryLabel> labels = boundary_labels(figure, f.x, f.width);
    top += height_of(labels);
    draw_boundary_labels(svg, labels, f.left, top);
  }
  PlotArea area{.box = {f.left, top, f.right, top + panel.height}, .x = f.x, .x_ticks = f.x_ticks};
  area.y = y_scale(panel);
  area.y.begin = area.box.bottom;
  area.y.end = area.box.top;
  area.y_ticks = y_ticks(panel);
  draw_plot(svg, panel, figure, area, last);
  return area.box.bottom;
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE std::string to_svg(const Figure& figure) {
  const detail::FigureFrame f = detail::frame(figure);
  detail::SvgWriter body;
  double y = 12;
  for (const Panel& panel : figure.panels) y = detail::draw_panel(body, figure, panel, f, y) + detail::panel_gap;
  if (figure.panels.empty())
    detail::draw_text(body, "empty", {(f.left + f.right) / 2, y += 20}, "middle", "no data to show");
  else
    detail::draw_text(body, "label", {(f.left + f.right) / 2, y += 22}, "middle", figure.x.label);

  detail::SvgWriter svg;
  const double width = f.width, height = y + 14;
  svg.open("svg", {{"xmlns", "http://www.w3.org/2000/svg"},
                   {"class", "thaw-figure"},
                   {"role", "img"},
                   {"width", width},
                   {"height", height},
                   {"viewBox", "0 0 " + detail::px(width) + " " + detail::px(height)},
                   {"style", "max-width:100%;height:auto"}});
  svg.text("title", {}, figure.title);
  svg.append(detail::svg_style);
  svg.empty("rect", {{"class", "page"}, {"width", width}, {"height", height}});
  svg.append(std::move(body).take());
  svg.close("svg");
  return std::move(svg).take();
}

THAW_INLINE void write_svg(const Figure& figure, const std::filesystem::path& path) {
  detail::write_file(path, to_svg(figure));
}

}  // namespace thaw

#endif
