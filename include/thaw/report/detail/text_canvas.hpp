// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include <thaw/report/detail/geometry.hpp>

namespace thaw::detail {

/// A picture of characters: braille, with 2 x 4 dots each, or ASCII, with one. Places are in characters from the upper
/// left corner, with fractions; what lies outside is not drawn.
class TextCanvas {
 public:
  TextCanvas(std::size_t columns, std::size_t rows, bool ascii)
      : columns_(columns), rows_(rows), ascii_(ascii), cells_(columns * rows) {}

  void line(Point a, Point b) {
    const std::array<Point, 2> ends{a, b};
    for (const Point& p : sampled(ends, 0.1)) dot(p);
  }

  /// Puts `character` over the place, or over the nearest free one in its column.
  void mark(Point p, char character) {
    if (!holds(p)) return;
    const auto column = static_cast<std::size_t>(p.x), home = static_cast<std::size_t>(p.y);
    for (std::size_t away = 0; away < rows_; ++away)
      for (const std::size_t row : {home - away, home + away}) {  // beyond the top, the first wraps round to a huge one
        if (row >= rows_ || cells_[row * columns_ + column].mark != '\0') continue;
        cells_[row * columns_ + column].mark = character;
        return;
      }
  }

  /// One row, without blanks at its end.
  [[nodiscard]] std::string row(std::size_t index) const {
    std::string text;
    std::size_t end = 0;
    for (std::size_t column = 0; column < columns_; ++column) {
      const Cell& cell = cells_[index * columns_ + column];
      if (cell.mark != '\0')
        text += cell.mark;
      else if (cell.dots == 0)
        text += ' ';
      else if (ascii_)
        text += '*';
      else
        text += {'\xE2', static_cast<char>(0xA0U | cell.dots >> 6U), static_cast<char>(0x80U | (cell.dots & 0x3FU))};
      if (text.back() != ' ') end = text.size();
    }
    text.resize(end);
    return text;
  }

 private:
  struct Cell {
    unsigned dots = 0;  // as in the last byte of U+2800..28FF
    char mark = '\0';
  };

  [[nodiscard]] bool holds(Point p) const {
    return p.x >= 0 && p.y >= 0 && p.x < static_cast<double>(columns_) && p.y < static_cast<double>(rows_);
  }

  void dot(Point p) {
    if (!holds(p)) return;
    constexpr std::array<std::array<unsigned, 2>, 4> bits{{{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}}};
    const auto column = static_cast<std::size_t>(p.x), row = static_cast<std::size_t>(p.y);
    const double right = p.x - std::floor(p.x), down = p.y - std::floor(p.y);
    cells_[row * columns_ + column].dots |=
        bits[static_cast<std::size_t>(4 * down)][static_cast<std::size_t>(2 * right)];
  }

  std::size_t columns_, rows_;
  bool ascii_;
  std::vector<Cell> cells_;
};

}  // namespace thaw::detail
