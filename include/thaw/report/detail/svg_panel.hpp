// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <thaw/report/detail/geometry.hpp>
#include <thaw/report/detail/scale.hpp>
#include <thaw/report/detail/svg_style.hpp>
#include <thaw/report/detail/svg_writer.hpp>
#include <thaw/report/detail/ticks.hpp>
#include <thaw/report/figure.hpp>

namespace thaw::detail {

inline void draw_line(SvgWriter& svg, std::string_view kind, Point a, Point b) {
  svg.empty("line", {{"class", kind}, {"x1", a.x}, {"y1", a.y}, {"x2", b.x}, {"y2", b.y}});
}

inline void draw_dot(SvgWriter& svg, std::string_view kind, Point at, double radius) {
  svg.empty("circle", {{"class", kind}, {"cx", at.x}, {"cy", at.y}, {"r", radius}});
}

/// `anchor`: which part of the text is at `at`, "start", "middle" or "end"; `at.y` is its base line.
inline void draw_text(SvgWriter& svg, std::string_view kind, Point at, std::string_view anchor,
                      std::string_view words) {
  svg.text("text", {{"class", kind}, {"x", at.x}, {"y", at.y}, {"text-anchor", anchor}}, words);
}

/// Where a panel's data are drawn, and how values map to px there.
struct PlotArea {
  Box box = {};
  Scale x = {}, y = {};
  std::vector<Tick> x_ticks = {}, y_ticks = {};
};

[[nodiscard]] inline Attribute color_class(std::size_t color) {
  return {"class", "c" + std::to_string(color % palette_size)};
}

/// The dash pattern of the palette's round; every line has one.
[[nodiscard]] inline Attribute dash_pattern(std::size_t color) {
  constexpr std::array<std::string_view, 3> patterns{"none", "7 4", "2 4"};
  return {"stroke-dasharray", patterns[color / palette_size % patterns.size()]};
}

[[nodiscard]] inline std::string_view line_class(const Series& series) {
  return series.thin ? "line thin" : "line";
}

/// The first, lowest, highest and last point of every column of pixels: looks the same, however many there were.
[[nodiscard]] inline std::vector<Point> one_per_pixel(std::span<const Point> points) {
  std::vector<Point> kept;
  for (std::size_t begin = 0, end = 0; begin < points.size(); begin = end) {
    std::size_t low = begin, high = begin;
    for (; end < points.size() && std::floor(points[end].x) == std::floor(points[begin].x); ++end) {
      if (points[end].y < points[low].y) low = end;
      if (points[end].y > points[high].y) high = end;
    }
    for (std::size_t i = begin; i < end; ++i)
      if (i == begin || i == low || i == high || i + 1 == end) kept.push_back(points[i]);
  }
  return kept;
}

/// The series in px, in pieces between the points that cannot be drawn.
[[nodiscard]] inline std::vector<std::vector<Point>> pieces(const Series& series, const PlotArea& area) {
  std::vector<std::vector<Point>> all;
  std::vector<Point> piece;
  const auto finish = [&] {
    if (!piece.empty()) all.push_back(one_per_pixel(piece));
    piece.clear();
  };
  for (std::size_t i = 0; i < std::min(series.x.size(), series.y.size()); ++i) {
    const Point p{area.x(series.x[i]), area.y(series.y[i])};
    if (std::isfinite(p.x) && std::isfinite(p.y))
      piece.push_back(p);
    else
      finish();
  }
  finish();
  return all;
}

/// Whether there is a point to draw.
[[nodiscard]] inline bool has_data(const Panel& panel) {
  Extent extent{panel.y.log};
  for (const Series& series : panel.series) extent.add(series.y);
  return extent.range().has_value() || !panel.blocks.empty();
}

inline void draw_series(SvgWriter& svg, const Series& series, const PlotArea& area) {
  std::vector<std::size_t> colors{series.color};
  colors.insert(colors.end(), series.shared_with.begin(), series.shared_with.end());
  constexpr double turn = 9;  // px of each color, where several share the line
  const Attribute turns{"stroke-dasharray", px(turn) + " " + px(turn * static_cast<double>(colors.size() - 1))};
  for (std::size_t i = 0; i < colors.size(); ++i) {
    svg.open("g", {color_class(colors[i])});
    for (const std::vector<Point>& piece : pieces(series, area)) {
      std::string points;
      for (const Point& p : piece) points.append(points.empty() ? "" : " ").append(px(p.x)).append(",").append(px(p.y));
      if (piece.size() > 1)
        svg.empty("polyline", {{"class", line_class(series)},
                               colors.size() > 1 ? turns : dash_pattern(series.color),
                               {"stroke-dashoffset", -turn * static_cast<double>(i)},
                               {"points", points}});
      if (series.dots || piece.size() == 1)
        for (const Point& p : piece) draw_dot(svg, "dot", p, 3);
    }
    svg.close("g");
  }
}

/// Those that lie outside are moved to the edge of the plot.
inline void draw_markers(SvgWriter& svg, const Panel& panel, const PlotArea& area) {
  for (const Marker& marker : panel.markers) {
    const Point p{area.x(marker.x), area.y(marker.y)};
    if (!std::isfinite(p.x) || !std::isfinite(p.y)) continue;
    svg.open("g", {color_class(marker.color)});
    draw_dot(svg, "marker", area.box.nearest_to(p), 5.5);
    svg.close("g");
  }
}

/// A rectangle from `left` to `right`, as far as it lies in `box`.
inline void draw_rectangle(SvgWriter& svg, std::string_view kind, const Box& box, double left, double right) {
  left = std::max(left, box.left);
  right = std::min(right, box.right);
  if (left >= right) return;
  svg.empty("rect",
            {{"class", kind}, {"x", left}, {"y", box.top}, {"width", right - left}, {"height", box.bottom - box.top}});
}

inline void draw_blocks(SvgWriter& svg, const Panel& panel, const PlotArea& area) {
  constexpr double half_height = 0.36;  // of a row
  for (const Block& block : panel.blocks) {
    Box row = area.box;
    row.top = area.y(static_cast<double>(block.row) - half_height);
    row.bottom = area.y(static_cast<double>(block.row) + half_height);
    draw_rectangle(svg, "block", row, area.x(block.from), area.x(block.to));
  }
}

/// `with_rows`: the y axis has names, which need no lines.
inline void draw_axes(SvgWriter& svg, const PlotArea& area, bool with_x_labels, bool with_rows) {
  const Box& box = area.box;
  for (const Tick& tick : area.x_ticks) {
    const double x = area.x(tick.value);
    if (!tick.label.empty()) draw_line(svg, "grid", {x, box.top}, {x, box.bottom});
    draw_line(svg, "axis", {x, box.bottom}, {x, box.bottom + (tick.label.empty() ? 3 : 5)});
    if (with_x_labels && !tick.label.empty()) draw_text(svg, "tick", {x, box.bottom + 19}, "middle", tick.label);
  }
  for (const Tick& tick : area.y_ticks) {
    if (tick.label.empty()) continue;
    const double y = area.y(tick.value);
    if (!with_rows) draw_line(svg, "grid", {box.left, y}, {box.right, y});
    draw_text(svg, "tick", {box.left - 7, y + 4.5}, "end", tick.label);
  }
}

/// The plot area of one panel with all that is in it and its axes. The inner <svg> cuts off what lies outside, without
/// an id that other figures on the same page could share.
inline void draw_plot(SvgWriter& svg, const Panel& panel, const Figure& figure, const PlotArea& area,
                      bool with_x_labels) {
  const Box& box = area.box;
  const double width = box.right - box.left, height = box.bottom - box.top;
  draw_axes(svg, area, with_x_labels, !panel.y.rows.empty());
  draw_blocks(svg, panel, area);
  const std::string view = px(box.left) + " " + px(box.top) + " " + px(width) + " " + px(height);
  svg.open("svg", {{"x", box.left}, {"y", box.top}, {"width", width}, {"height", height}, {"viewBox", view}});
  const auto draw = [&](bool thin) {
    for (const Series& series : panel.series)
      if (series.thin == thin) draw_series(svg, series, area);
  };
  draw(/*thin=*/true);  // raw data behind
  draw(/*thin=*/false);
  svg.close("svg");
  for (const Boundary& boundary : figure.boundaries)
    if (const double x = area.x(boundary.x); x > box.left + 1 && x <= box.right)
      draw_line(svg, boundary.strong ? "boundary main" : "boundary", {x, box.top}, {x, box.bottom});
  draw_line(svg, "axis", {box.left, box.bottom}, {box.right, box.bottom});
  draw_markers(svg, panel, area);
  if (!has_data(panel)) {
    const Point middle{(box.left + box.right) / 2, (box.top + box.bottom) / 2};
    draw_text(svg, "empty", middle, "middle", "no data to show");
  }
}

}  // namespace thaw::detail
