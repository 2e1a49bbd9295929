// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

namespace thaw::detail {

struct Point {
  double x = 0, y = 0;
};

/// A rectangle; y grows downwards.
struct Box {
  double left = 0, top = 0, right = 0, bottom = 0;

  [[nodiscard]] bool overlaps(const Box& b) const {
    return left < b.right && b.left < right && top < b.bottom && b.top < bottom;
  }
  [[nodiscard]] bool holds(Point p) const { return p.x > left && p.x < right && p.y > top && p.y < bottom; }
  [[nodiscard]] Point nearest_to(Point p) const { return {std::clamp(p.x, left, right), std::clamp(p.y, top, bottom)}; }
  [[nodiscard]] Box grown(double by) const { return {left - by, top - by, right + by, bottom + by}; }
};

[[nodiscard]] inline double distance(Point a, Point b) {
  return std::hypot(a.x - b.x, a.y - b.y);
}

/// Points at most `apart` from each other along the line through `points`.
[[nodiscard]] inline std::vector<Point> sampled(std::span<const Point> points, double apart) {
  std::vector<Point> samples;
  for (std::size_t i = 0; i + 1 < points.size(); ++i) {
    const Point a = points[i], b = points[i + 1];
    const double pieces = std::clamp(std::ceil(distance(a, b) / apart), 1.0, 1e4);
    for (int k = 0; k < pieces; ++k)
      samples.push_back({a.x + (b.x - a.x) * k / pieces, a.y + (b.y - a.y) * k / pieces});
  }
  if (!points.empty()) samples.push_back(points.back());
  return samples;
}

/// A place for each label (of width `widths[i]`) near its anchor: inside `within`, off the other labels and all
/// anchors as long as there is room, and covering as few points of `lines` as it can.
[[nodiscard]] inline std::vector<Box> place_labels(std::span<const Point> anchors, std::span<const double> widths,
                                                   double height, Box within, std::span<const Point> lines) {
  constexpr double gap = 7, step = 7, cost_of_line = 6, cost_of_overlap = 1e6;
  std::vector<Box> placed;
  for (std::size_t i = 0; i < anchors.size(); ++i) {
    const auto cost = [&](const Box& box) {
      const double away = distance(anchors[i], box.nearest_to(anchors[i]));
      const auto hidden = std::ranges::count_if(lines, [&](Point p) { return box.holds(p); });
      double sum = std::abs(away - gap) + cost_of_line * static_cast<double>(hidden);
      for (const Box& other : placed) sum += box.grown(2).overlaps(other) ? cost_of_overlap : 0;
      for (const Point& anchor : anchors) sum += box.grown(gap - 1).holds(anchor) ? cost_of_overlap : 0;
      return sum;
    };
    Box best{within.left, within.top, within.left + widths[i], within.top + height};
    double least = cost(best);
    const auto at = [&](int row, int column) {
      const double left = within.left + column * step, top = within.top + row * step;
      return Box{left, top, left + widths[i], top + height};
    };
    for (int row = 0; at(row, 0).bottom <= within.bottom; ++row)
      for (int column = 0; at(row, column).right <= within.right; ++column) {
        const Box box = at(row, column);
        if (distance(anchors[i], box.nearest_to(anchors[i])) - gap >= least) continue;
        if (const double c = cost(box); c < least) least = c, best = box;
      }
    placed.push_back(best);
  }
  return placed;
}

}  // namespace thaw::detail
