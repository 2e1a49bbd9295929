// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/report/picture.hpp>
#include <thaw/vision/detail/caption.hpp>
#include <thaw/vision/detail/pixel_values.hpp>
#include <thaw/vision/read_mask.hpp>
#include <thaw/vision/write_image.hpp>

namespace thaw::vision {

/// An image of any type and size, and what stands below it: ASCII, a line for each '\n'.
struct Tile {
  cv::Mat image;
  std::string caption = {};
  std::optional<bool> right = {};  ///< a blue frame for what was predicted right, an orange one for what was not
};

/// What a color means.
struct LegendEntry {
  std::string name = {};
  Color color = {};
};

struct ContactSheetOptions {
  std::string title = {};              ///< above all tiles
  std::vector<LegendEntry> legend = {};  ///< below the title
  int columns = 0;                     ///< 0: about as many as rows
  int tile = 112;                      ///< longer side of an image on the sheet, in px
  int padding = 8;                     ///< between tiles, in px
  int font = 10;                       ///< height of a capital letter, in px
  std::vector<std::string> rows = {};  ///< what stands to the left of each row
  bool smooth = true;                  ///< enlarge by interpolation; or else show pixels as they are
};

namespace detail {

/// The image as bytes of red, green and blue: 16 bits and floats are scaled, gray is gray, alpha is left out.
[[nodiscard]] inline cv::Mat as_rgb(const cv::Mat& image) {
  cv::Mat bytes;
  image.convertTo(bytes, CV_8U, 255 / largest(image.depth()));
  if (bytes.channels() == 1) cv::cvtColor(bytes, bytes, cv::COLOR_GRAY2RGB);
  if (bytes.channels() == 4) cv::cvtColor(bytes, bytes, cv::COLOR_RGBA2RGB);
  return bytes;
}

// Dark gray, which is a frame around images on a light page and a dark one alike.
[[nodiscard]] inline cv::Scalar sheet_ground() {
  return {43, 47, 54};
}
inline constexpr double sheet_letters = 242;

/// Draws the entries one after the other into an area of `width` from `at` on, in as many lines as they take, and
/// returns their height. `sheet` may be null: only to measure.
inline int draw_legend(cv::Mat* sheet, const std::vector<LegendEntry>& entries, const Lettering& letters, cv::Point at,
                       int width) {
  const int swatch = letters.line() * 2 / 3, gap = letters.line();
  int x = 0, y = 0;
  for (const LegendEntry& entry : entries) {
    const int own = swatch + swatch / 2 + std::min(letters.width(entry.name), width - 2 * swatch);
    if (x > 0 && x + own > width) x = 0, y += letters.line();
    if (sheet != nullptr) {
      const cv::Rect place(at.x + x, at.y + y + (letters.line() - swatch) / 2, swatch, swatch);
      (*sheet)(place & cv::Rect({}, sheet->size())).setTo(cv::Scalar(entry.color[0], entry.color[1], entry.color[2]));
      letters.draw(*sheet, entry.name, {at.x + x + swatch + swatch / 2, at.y + y}, width - 2 * swatch, sheet_letters);
    }
    x += own + gap;
  }
  return entries.empty() ? 0 : y + letters.line();
}

/// As large as fits into a square, its proportions kept.
[[nodiscard]] inline cv::Mat fitted(const cv::Mat& image, int side, bool smooth) {
  const double scale = static_cast<double>(side) / std::max(image.cols, image.rows);
  const auto scaled = [&](int length) { return std::max(1, static_cast<int>(std::lround(length * scale))); };
  cv::Mat result;
  cv::resize(image, result, {scaled(image.cols), scaled(image.rows)}, 0, 0,
             scale < 1 ? cv::INTER_AREA
             : smooth  ? cv::INTER_CUBIC
                       : cv::INTER_NEAREST);
  return result;
}

}  // namespace detail

/// The tiles in a grid, row by row, each with its caption below; captions are cut where they are too long. Bytes, RGB,
/// light letters on dark gray, which suits light pages and dark ones. Throws ConfigError for sizes that make no sense,
/// DataError for a tile without an image.
[[nodiscard]] inline cv::Mat contact_sheet(const std::vector<Tile>& tiles, const ContactSheetOptions& options = {}) {
  const ContactSheetOptions& o = options;
  if (o.tile < 8 || o.padding < 0 || o.columns < 0 || o.font < 5)
    throw ConfigError("contact_sheet",
                      "tiles of " + std::to_string(o.tile) + " px, padding " + std::to_string(o.padding) +
                          ", letters " + std::to_string(o.font) + ", " + std::to_string(o.columns) + " columns",
                      "give tiles of 8 px or more, letters of 5 or more, nothing negative");
  for (const Tile& tile : tiles)
    if (tile.image.empty()) throw DataError("contact_sheet", "a tile has no image", "leave it out");
  const int n = static_cast<int>(tiles.size());
  const int columns = o.columns > 0 ? o.columns : std::max(1, static_cast<int>(std::ceil(std::sqrt(n))));
  const int rows = (n + columns - 1) / columns;
  const detail::Lettering letters(o.font);
  std::size_t lines = 0;
  for (const Tile& tile : tiles) lines = std::max(lines, detail::lines_of(tile.caption).size());
  int left = o.padding;
  for (const std::string& name : o.rows) left = std::max(left, letters.width(name) + 2 * o.padding);
  const int width = left + columns * (o.tile + o.padding), title = o.title.empty() ? 0 : letters.line();
  const int top = o.padding + title + detail::draw_legend(nullptr, o.legend, letters, {}, width - 2 * o.padding);
  const int step_x = o.tile + o.padding, step_y = o.tile + letters.line() * static_cast<int>(lines) + o.padding;

  cv::Mat sheet(top + rows * step_y, width, CV_8UC3, detail::sheet_ground());
  letters.draw(sheet, o.title, {o.padding, o.padding / 2}, width - 2 * o.padding, detail::sheet_letters);
  detail::draw_legend(&sheet, o.legend, letters, {o.padding, o.padding / 2 + title}, width - 2 * o.padding);
  for (int i = 0; i < n; ++i) {
    const Tile& tile = tiles[static_cast<std::size_t>(i)];
    const cv::Point at(left + i % columns * step_x, top + i / columns * step_y);
    const cv::Mat image = detail::fitted(detail::as_rgb(tile.image), o.tile, o.smooth);
    const cv::Rect place(at.x + (o.tile - image.cols) / 2, at.y + (o.tile - image.rows) / 2, image.cols, image.rows);
    if (tile.right)
      cv::rectangle(sheet, place - cv::Point(3, 3) + cv::Size(6, 6),
                    *tile.right ? cv::Scalar(86, 180, 233) : cv::Scalar(230, 110, 0), cv::FILLED);
    image.copyTo(sheet(place));
    int y = at.y + o.tile;
    for (const std::string& line : detail::lines_of(tile.caption)) {
      letters.draw(sheet, line, {at.x, y}, o.tile, detail::sheet_letters);
      y += letters.line();
    }
  }
  for (int row = 0; row < std::min(rows, static_cast<int>(o.rows.size())); ++row)
    letters.draw(sheet, o.rows[static_cast<std::size_t>(row)],
                 {o.padding, top + row * step_y + (o.tile - letters.line()) / 2}, left - o.padding,
                 detail::sheet_letters);
  return sheet;
}

/// An image as a PNG for a report.
[[nodiscard]] inline Picture to_picture(const cv::Mat& image, std::string caption) {
  return {.caption = std::move(caption), .media_type = "image/png", .bytes = encoded(image, ".png")};
}

}  // namespace thaw::vision
