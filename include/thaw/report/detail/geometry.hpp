// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace thaw::detail {

struct Point {
  double x = 0, y = 0;
};

/// A rectangle; y grows downwards.
struct Box {
  double left = 0, top = 0, right = 0, bottom = 0;

  [[nodiscard]] Point nearest_to(Point p) const { return {std::clamp(p.x, left, right), std::clamp(p.y, top, bottom)}; }
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

}  // namespace thaw::detail
