// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <thaw/report/detail/svg_panel.hpp>

namespace thaw::detail {

inline constexpr double row_height = 18, panel_gap = 18, swatch_width = 22;

/// A series' place in the legend beside the panel's title.
struct LegendEntry {
  const Series* series = nullptr;  ///< null: the panel's blocks
  double x = 0;
  std::size_t row = 0;
};

/// The panel's named series after its title, wrapped at `right`. None for a panel that shows nothing, or only what its
/// title says.
[[nodiscard]] inline std::vector<LegendEntry> legend(const Panel& panel, double left, double right) {
  std::vector<LegendEntry> entries;
  if (!has_data(panel)) return entries;
  double x = left + text_width(panel.title) + 22;
  std::size_t row = 0;
  const auto add = [&](const std::string& name, const Series* series) {
    if (name.empty()) return;
    const double width = swatch_width + 6 + text_width(name);
    if (x + width > right && x > left) x = left, ++row;
    entries.push_back({.series = series, .x = x, .row = row});
    x += width + 14;
  };
  for (const Series& series : panel.series) add(series.name, &series);
  if (entries.size() == 1 && entries[0].series->name == panel.title) entries.clear();
  if (!panel.blocks.empty()) add(panel.blocks_name, nullptr);
  return entries;
}

inline void draw_header(SvgWriter& svg, const Panel& panel, const std::vector<LegendEntry>& entries, Point at) {
  draw_text(svg, "title", at, "start", panel.title);
  for (const LegendEntry& entry : entries) {
    const double y = at.y + static_cast<double>(entry.row) * row_height;
    const Point words{entry.x + swatch_width + 6, y};
    if (entry.series == nullptr) {
      draw_rectangle(svg, "block", {entry.x, y - 10, entry.x + swatch_width, y + 1}, entry.x, entry.x + swatch_width);
      draw_text(svg, "legend", words, "start", panel.blocks_name);
      continue;
    }
    const Series& series = *entry.series;
    svg.open("g", {color_class(series.color)});
    svg.empty("path", {{"class", line_class(series)},
                       dash_pattern(series.color),
                       {"d", "M" + px(entry.x) + " " + px(y - 4.5) + "h" + px(swatch_width)}});
    if (series.dots) draw_dot(svg, "dot", {entry.x + swatch_width / 2, y - 4.5}, 3);
    svg.close("g");
    draw_text(svg, "legend", words, "start", series.name);
  }
}

/// The width of a boundary's name; strong ones are bold.
[[nodiscard]] inline double name_width(std::string_view name, bool strong) {
  return text_width(name) * (strong ? 1.15 : 1);
}

/// A stage's name above the plot; row 0 is next to the plot.
struct BoundaryLabel {
  double x = 0;
  std::string name = {};
  bool strong = false;
  std::size_t row = 0;
};

/// Names that start at their boundary, in the lowest row where neither a later name nor a later line crosses them; cut
/// short where Figure::name_rows, or the way to `right`, are not enough, and left out where next to nothing would
/// remain.
[[nodiscard]] inline std::vector<BoundaryLabel> boundary_labels(const Figure& figure, const Scale& x, double right) {
  std::vector<BoundaryLabel> labels;
  for (const Boundary& boundary : figure.boundaries)
    if (const double at = x(boundary.x); at >= x.begin && at <= x.end)
      labels.push_back({.x = at, .name = boundary.name, .strong = boundary.strong});
  std::ranges::stable_sort(labels, {}, &BoundaryLabel::x);
  for (std::size_t i = labels.size(); i-- > 0;) {
    BoundaryLabel& label = labels[i];
    double end = right;
    for (std::size_t later = i + 1; later < labels.size(); ++later) {
      if (label.x + name_width(label.name, label.strong) + 8 <= labels[later].x) continue;
      if (labels[later].row + 1 < figure.name_rows)
        label.row = std::max(label.row, labels[later].row + 1);
      else
        end = std::min(end, labels[later].x);
    }
    const auto room = static_cast<std::size_t>(std::max(0.0, (end - label.x - 8) / name_width("m", label.strong)));
    label.name = room < std::min<std::size_t>(display_width(label.name), 5) ? "" : shortened(label.name, room);
  }
  return labels;
}

[[nodiscard]] inline double height_of(const std::vector<BoundaryLabel>& labels) {
  const auto top = std::ranges::max_element(labels, {}, &BoundaryLabel::row);
  return top == labels.end() ? 0 : row_height * static_cast<double>(top->row + 1);
}

/// The names, in rows that end at `bottom`, each with its line down to the plot.
inline void draw_boundary_labels(SvgWriter& svg, const std::vector<BoundaryLabel>& labels, double left, double bottom) {
  for (const BoundaryLabel& label : labels) {
    const double y = bottom - row_height * static_cast<double>(label.row) - 5;
    const bool at_axis = label.x <= left + 1;
    if (!at_axis) draw_line(svg, label.strong ? "boundary main" : "boundary", {label.x, y - 10}, {label.x, bottom});
    draw_text(svg, label.strong ? "stage main" : "stage", {label.x + (at_axis ? 0 : 5), y}, "start", label.name);
  }
}

}  // namespace thaw::detail
