#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include <thaw/report/detail/place_labels.hpp>

namespace thaw::detail {

/// A picture of characters: braille, with 2 x 4 dots each, or ASCII, with one.
class TextCanvas {
 public:
  TextCanvas(std::size_t columns, std::size_t rows, bool ascii)
      : columns_(columns), rows_(rows), ascii_(ascii), cells_(columns * rows) {}

  [[nodiscard]] std::size_t dots_wide() const { return columns_ * (ascii_ ? 1 : 2); }
  [[nodiscard]] std::size_t dots_high() const { return rows_ * (ascii_ ? 1 : 4); }

  /// Sets the dot that holds `p`, in dots from the upper left; nothing where that is outside.
  void dot(Point p) {
    if (!holds(p)) return;
    const auto x = static_cast<std::size_t>(p.x), y = static_cast<std::size_t>(p.y);
    constexpr std::array<std::array<unsigned char, 2>, 4> bits{{{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}}};
    if (ascii_) cells_[y * columns_ + x].dots = 1;
    else cells_[y / 4 * columns_ + x / 2].dots |= bits[y % 4][x % 2];
  }

  void line(Point a, Point b) {
    const std::array<Point, 2> ends{a, b};
    for (const Point& p : sampled(ends, 0.5)) dot(p);
  }

  /// Puts a character over the cell that holds `p`, or over the nearest free one in its column.
  void mark(Point p, char character) {
    if (!holds(p)) return;
    const std::size_t column = static_cast<std::size_t>(p.x) / (ascii_ ? 1 : 2);
    const auto home = static_cast<std::ptrdiff_t>(static_cast<std::size_t>(p.y) / (ascii_ ? 1 : 4));
    for (std::ptrdiff_t away = 0; away < static_cast<std::ptrdiff_t>(rows_); ++away)
      for (const std::ptrdiff_t row : {home - away, home + away}) {
        if (row < 0 || row >= static_cast<std::ptrdiff_t>(rows_)) continue;
        Cell& cell = cells_[static_cast<std::size_t>(row) * columns_ + column];
        if (cell.mark == '\0') return void(cell.mark = character);
      }
  }

  /// One row, without blanks at its end.
  [[nodiscard]] std::string row(std::size_t index) const {
    std::string text;
    std::size_t end = 0;
    for (std::size_t column = 0; column < columns_; ++column) {
      const Cell& cell = cells_[index * columns_ + column];
      if (cell.mark != '\0') text += cell.mark;
      else if (cell.dots == 0) text += ' ';
      else if (ascii_) text += '*';
      else text += {'\xE2', static_cast<char>(0xA0 | cell.dots >> 6), static_cast<char>(0x80 | (cell.dots & 0x3F))};
      if (text.back() != ' ') end = text.size();
    }
    text.resize(end);
    return text;
  }

 private:
  struct Cell {
    unsigned char dots = 0;
    char mark = '\0';
  };

  [[nodiscard]] bool holds(Point p) const {
    return p.x >= 0 && p.y >= 0 && p.x < static_cast<double>(dots_wide()) && p.y < static_cast<double>(dots_high());
  }

  std::size_t columns_, rows_;
  bool ascii_;
  std::vector<Cell> cells_;
};

}  // namespace thaw::detail
