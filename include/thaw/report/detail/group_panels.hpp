// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <thaw/report/detail/scale.hpp>
#include <thaw/report/figure.hpp>

// What is known of each layer group over the steps of a plan or of a run.
namespace thaw::detail {

inline constexpr double no_value = std::numeric_limits<double>::quiet_NaN();

/// Lines by which several things are told apart, each thing's being lines[of[i]]: what has the same values shares one.
struct SharedLines {
  std::vector<Series> lines = {};
  std::vector<std::size_t> of = {};

  void add(Series series) {
    const auto same = std::ranges::find_if(lines, [&](const Series& line) {
      return line.x == series.x &&
             std::ranges::equal(line.y, series.y, [](double a, double b) { return a == b || (a != a && b != b); });
    });
    of.push_back(static_cast<std::size_t>(same - lines.begin()));
    if (same != lines.end()) return;
    series.color = lines.size();
    lines.push_back(std::move(series));
  }
};

/// When each group stood still.
class GroupSpans {
 public:
  explicit GroupSpans(std::size_t groups) : spans_(groups) {}

  /// Step after step, without gaps.
  void add(double from, double to, const std::vector<bool>& still) {
    for (std::size_t i = 0; i < spans_.size(); ++i) {
      const bool now = i < still.size() && still[i];
      if (spans_[i].empty() || spans_[i].back().still != now) spans_[i].push_back({from, to, now});
      spans_[i].back().to = to;
    }
  }

  /// A row per group: shaded where it stood still, its rate's line where it trained.
  [[nodiscard]] Panel panel(const std::vector<std::string>& names, const std::vector<std::size_t>& colors) const {
    Panel panel{.title = "layer groups", .y = {.rows = names}, .blocks_name = "frozen"};
    panel.height = 17 * static_cast<double>(names.size());
    for (std::size_t i = 0; i < spans_.size(); ++i) {
      const auto row = static_cast<double>(i);
      Series trains{.color = colors[i]};
      for (const Span& span : spans_[i]) {
        if (span.still) panel.blocks.push_back({.row = i, .from = span.from, .to = span.to});
        trains.x.insert(trains.x.end(), {span.from, span.to});
        trains.y.insert(trains.y.end(), 2, span.still ? no_value : row);
      }
      panel.series.push_back(std::move(trains));
    }
    return panel;
  }

 private:
  struct Span {
    double from, to;
    bool still;
  };
  std::vector<std::vector<Span>> spans_;
};

/// The smallest of all highest values between two gaps.
[[nodiscard]] inline double lowest_peak(const std::vector<Series>& lines) {
  constexpr double none = std::numeric_limits<double>::infinity();
  double lowest = none;
  for (const Series& line : lines) {
    double peak = 0;
    for (const double y : line.y) {
      if (y > 0) peak = std::max(peak, y);
      if (y > 0 || peak == 0) continue;
      lowest = std::min(lowest, std::exchange(peak, 0));
    }
    if (peak > 0) lowest = std::min(lowest, peak);
  }
  return lowest;
}

/// The rates of all groups. Which line is whose is told by the rows of `GroupSpans`. A fall to far below every peak, as
/// one-cycle ends with, is not followed down: it would leave no room for what is above.
[[nodiscard]] inline Panel rate_panel(SharedLines rates) {
  constexpr double depth = 1. / 30;  // one-cycle begins at 1/25
  Panel panel{.title = "learning rate", .y = {.log = true}, .height = 150};
  Extent extent{/*log=*/true};
  for (const Series& line : rates.lines) extent.add(line.y);
  if (const double floor = depth * lowest_peak(rates.lines); extent.range() && extent.range()->low < floor)
    panel.y.lowest = floor;
  panel.series = std::move(rates.lines);
  return panel;
}

/// Where a stage begins, in all panels; every other one is shaded.
inline void add_stage(Figure& figure, const std::string& name, double first, double steps) {
  if (figure.boundaries.size() % 2 == 1) figure.shades.push_back({.from = first, .to = first + steps});
  figure.boundaries.push_back({.x = first, .name = name});
}

}  // namespace thaw::detail
