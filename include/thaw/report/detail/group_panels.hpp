// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <thaw/report/detail/scale.hpp>
#include <thaw/report/detail/svg_style.hpp>
#include <thaw/report/figure.hpp>

// What is known of each layer group over the steps of a plan or of a run.
namespace thaw::detail {

inline constexpr double no_value = std::numeric_limits<double>::quiet_NaN();

/// The rates of things, each in the color of its number: a line for each piece between two gaps, or two values that are
/// not positive. Pieces that are the same share one.
class SharedLines {
 public:
  void add(const Series& series) {
    Series piece{.color = added_++};
    for (std::size_t i = 0; i <= series.y.size(); ++i) {
      if (i < series.y.size() && series.y[i] > 0) {
        piece.x.push_back(series.x[i]);
        piece.y.push_back(series.y[i]);
      } else if (!piece.x.empty()) {
        add_piece(std::exchange(piece, {.color = piece.color}));
      }
    }
  }
  [[nodiscard]] const std::vector<Series>& lines() const { return lines_; }

 private:
  void add_piece(Series piece) {
    constexpr std::size_t most = 6;  // that can be told apart along one line
    const auto is_same = [&](const Series& line) { return line.x == piece.x && line.y == piece.y; };
    const auto same = std::ranges::find_if(lines_, is_same);
    if (same == lines_.end())
      lines_.push_back(std::move(piece));
    else if (same->shared_with.size() + 1 < most)
      same->shared_with.push_back(piece.color);
  }

  std::vector<Series> lines_;
  std::size_t added_ = 0;
};

/// When each group stood still, or but for its norm layers.
class GroupSpans {
 public:
  explicit GroupSpans(std::size_t groups) : spans_(groups) {}

  /// Step after step, without gaps.
  void add(double from, double to, const std::vector<bool>& still, const std::vector<bool>& norms_only) {
    for (std::size_t i = 0; i < spans_.size(); ++i) {
      const auto is = [i](const std::vector<bool>& which) { return i < which.size() && which[i]; };
      const State now = is(still) ? State::still : is(norms_only) ? State::norms_only : State::trains;
      if (spans_[i].empty() || spans_[i].back().state != now) spans_[i].push_back({from, to, now});
      spans_[i].back().to = to;
    }
  }

  /// A row per group: shaded where it is frozen, a line in the group's color where it trains, and a dotted one upon
  /// the shade where only its norm layers do.
  [[nodiscard]] Panel panel(const std::vector<std::string>& names) const {
    Panel panel{.title = "layer groups", .y = {.rows = names}, .blocks_name = "frozen"};
    panel.height = 17 * static_cast<double>(names.size());
    bool norms_named = false;
    for (std::size_t i = 0; i < spans_.size(); ++i) {
      Series trains{.color = i}, norms{.name = "norm layers only", .color = i + 2 * palette_size};  // dotted
      const auto draw = [row = static_cast<double>(i)](Series& line, const Span& span, bool there) {
        line.x.insert(line.x.end(), {span.from, span.to});
        line.y.insert(line.y.end(), 2, there ? row : no_value);
      };
      for (const Span& span : spans_[i]) {
        if (span.state != State::trains) panel.blocks.push_back({.row = i, .from = span.from, .to = span.to});
        draw(trains, span, span.state == State::trains);
        draw(norms, span, span.state == State::norms_only);
      }
      panel.series.push_back(std::move(trains));
      if (std::ranges::find(spans_[i], State::norms_only, &Span::state) == spans_[i].end()) continue;
      if (std::exchange(norms_named, true)) norms.name.clear();
      panel.series.push_back(std::move(norms));
    }
    return panel;
  }

 private:
  enum class State { still, norms_only, trains };
  struct Span {
    double from, to;
    State state;
  };
  std::vector<std::vector<Span>> spans_;
};

/// The smallest of the lines' highest values.
[[nodiscard]] inline double lowest_peak(const std::vector<Series>& lines) {
  double lowest = std::numeric_limits<double>::infinity();
  for (const Series& line : lines) lowest = std::min(lowest, *std::ranges::max_element(line.y));
  return lowest;
}

/// The rates of all groups. Which line is whose is told by the rows of `GroupSpans`. A fall to far below every peak, as
/// one-cycle ends with, is not followed down: it would leave no room for what is above.
[[nodiscard]] inline Panel rate_panel(const SharedLines& rates) {
  constexpr double depth = 1. / 30;  // one-cycle begins at 1/25
  Panel panel{.title = "learning rate", .y = {.log = true}, .height = 150};
  Extent extent{/*log=*/true};
  for (const Series& line : rates.lines()) extent.add(line.y);
  if (const double floor = depth * lowest_peak(rates.lines()); extent.range() && extent.range()->low < floor)
    panel.y.lowest = floor;
  panel.series = rates.lines();
  return panel;
}

}  // namespace thaw::detail
