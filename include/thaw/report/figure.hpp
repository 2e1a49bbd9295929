// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace thaw {

/// One axis. Its limits follow from the data unless given; on a logarithmic axis only positive values are shown.
struct Axis {
  std::string label = {};
  bool log = false;
  std::optional<double> lowest = {}, highest = {};
  std::vector<std::string> rows = {};  ///< of a y axis: names for 0, 1, ..., a row each, downwards; all of them shown
};

/// Points joined in order by a line, which a point that is not finite interrupts. A single point is drawn as a dot.
struct Series {
  std::string name = {};  ///< in the legend; empty: not listed
  std::vector<double> x = {}, y = {};
  std::size_t color = 0;  ///< index into the palette, which goes round with another dash pattern
  std::vector<std::size_t> shared_with = {};  ///< colors that take turns with it along the line
  bool thin = false;      ///< raw data behind its smoothed line
  bool dots = false;      ///< mark every point
};

/// One point of interest. A Boundary at its x may name it.
struct Marker {
  double x = 0, y = 0;
  std::size_t color = 0;
};

/// An interval of x that is shaded in one row of a panel (Axis::rows).
struct Block {
  std::size_t row = 0;
  double from = 0, to = 0;
};

/// One chart of a figure.
struct Panel {
  std::string title = {};  ///< what its y axis shows
  Axis y = {};
  std::vector<Series> series = {};
  std::vector<Marker> markers = {};
  std::vector<Block> blocks = {};
  std::string blocks_name = {};  ///< what they mean, in the legend
  double height = 200;           ///< of the plot area, in px
};

/// A vertical line through all panels, with its name above them: where something begins.
struct Boundary {
  double x = 0;
  std::string name = {};
  bool strong = false;  ///< stands out
};

/// Panels one above the other that share the x axis. Plain data: `to_svg` draws it.
struct Figure {
  std::string title = {};  ///< for screen readers and tooltips, not drawn
  Axis x = {};
  std::vector<Panel> panels = {};
  std::vector<Boundary> boundaries = {};
  std::size_t name_rows = 3;  ///< of the boundaries' names, at most: what has no room is cut short
  double width = 680;         ///< px; the picture scales to the width of its place
};

}  // namespace thaw
