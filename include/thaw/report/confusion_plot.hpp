// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <thaw/core/compiled.hpp>
#include <thaw/report/confusion_matrix.hpp>
#include <thaw/report/detail/svg_panel.hpp>
#include <thaw/report/detail/svg_style.hpp>
#include <thaw/report/detail/svg_writer.hpp>
#include <thaw/report/detail/utf8.hpp>
#include <thaw/report/detail/write_file.hpp>

namespace thaw {

/// How a confusion matrix is drawn.
struct ConfusionPlot {
  std::string title = "Confusion matrix";  ///< for screen readers and tooltips, not drawn
  bool shares = false;                     ///< of the actual class, in percent, in place of counts
};

namespace detail {

inline constexpr std::string_view confusion_style = R"(<style>
.thaw-figure .right{fill:#2a8bc9}
.thaw-figure .wrong{fill:#d55e00}
.thaw-figure .count{font-size:11px;fill:#000}
.thaw-figure .small{font-size:11px}
@media (prefers-color-scheme:dark){
.thaw-figure .right{fill:#0072b2}
.thaw-figure .wrong{fill:#c25500}
.thaw-figure .count{fill:#fff}
}
</style>
)";

/// Where a matrix's cells and labels lie.
struct ConfusionLayout {
  ConfusionLayout(const ConfusionMatrix& matrix, const ConfusionPlot& how);

  [[nodiscard]] double column(std::int64_t j) const { return left + static_cast<double>(j) * cell; }
  [[nodiscard]] double row(std::int64_t i) const { return top + static_cast<double>(i) * cell; }
  [[nodiscard]] double width() const { return right + 14; }

  double cell;
  std::int64_t every;    // which labels have room
  bool numbers = false;  // whether all have room in their cells
  std::vector<std::string> labels = {};
  bool upright = false;  // those of the columns
  double top = 12, left = 0, right = 0, bottom = 0, height = 0;
};

void draw_cell(SvgWriter& svg, const ConfusionMatrix& matrix, const ConfusionLayout& at, const ConfusionPlot& how,
               std::int64_t i, std::int64_t j);

void draw_labels(SvgWriter& svg, const ConfusionLayout& at);

}  // namespace detail

/// The matrix as one SVG element that needs nothing outside itself: a row for each actual class, right predictions in
/// one colour, mistakes in another, which colour-blind people can tell apart, each as strong as the root of its share
/// of the row. Cells with nothing in them are left out, so that a thousand classes can be drawn.
[[nodiscard]] std::string to_svg(const ConfusionMatrix& matrix, const ConfusionPlot& how = {});

/// Writes `to_svg(matrix)` to a file, which is replaced in one step or not at all. Throws FileError.
void write_svg(const ConfusionMatrix& matrix, const std::filesystem::path& path, const ConfusionPlot& how = {});

}  // namespace thaw

#if THAW_DEFINES(report)

namespace thaw::detail {

THAW_INLINE ConfusionLayout::ConfusionLayout(const ConfusionMatrix& matrix, const ConfusionPlot& how)
    : cell(std::clamp(std::floor(480.0 / static_cast<double>(std::max<std::int64_t>(1, matrix.size()))),
                      matrix.size() <= 48 ? 14.0 : 2.0, 64.0)),  // up to 48 classes each has a label
      every(static_cast<std::int64_t>(std::ceil(font_size / cell))) {
  double widest = 0;
  for (const std::string& name : matrix.classes()) {
    labels.push_back(shortened(name, 20));
    widest = std::max(widest, text_width(labels.back()));
  }
  const auto n = static_cast<double>(matrix.size());
  upright = widest + 4 > cell * static_cast<double>(every);
  left = widest + 38;
  right = left + n * cell;
  bottom = top + n * cell;
  height = bottom + (upright ? widest : font_size) + 38;
  const std::int64_t most = matrix.size() == 0 ? 0 : matrix.counts().max().item<std::int64_t>();
  numbers = cell >= 14 && text_width(how.shares ? "100" : std::to_string(most)) * 11 / font_size + 2 <= cell;
}

THAW_INLINE void draw_cell(SvgWriter& svg, const ConfusionMatrix& matrix, const ConfusionLayout& at,
                           const ConfusionPlot& how, std::int64_t i, std::int64_t j) {
  const double of_row = static_cast<double>(matrix.counts()[i].sum().item<std::int64_t>());
  const double share = static_cast<double>(matrix.count(i, j)) / of_row;
  const double opacity = std::sqrt(share);  // so that rare mistakes can be seen
  const std::string number = how.shares ? fmt::format("{:.0f}", 100 * share) : std::to_string(matrix.count(i, j));
  svg.open("g", {{"class", i == j ? "right" : "wrong"}});
  svg.text("title", {},
           fmt::format("{} as {}: {} ({:.1f} %)", matrix.classes()[static_cast<std::size_t>(i)],
                       matrix.classes()[static_cast<std::size_t>(j)], matrix.count(i, j), 100 * share));
  svg.empty("rect", {{"class", "cell"},
                     {"x", at.column(j)},
                     {"y", at.row(i)},
                     {"width", at.cell},
                     {"height", at.cell},
                     {"fill-opacity", fmt::format("{:.2f}", opacity)}});
  if (at.numbers) draw_text(svg, "count", {at.column(j) + at.cell / 2, at.row(i) + at.cell / 2 + 4}, "middle", number);
  svg.close("g");
}

THAW_INLINE void draw_labels(SvgWriter& svg, const ConfusionLayout& at) {
  const std::string_view kind = at.cell < 18 ? "tick small" : "tick";
  const auto turned = [&](std::string_view of, Point p, std::string_view anchor, std::string_view words) {
    svg.text("text",
             {{"class", of},
              {"text-anchor", anchor},
              {"transform", "translate(" + px(p.x) + " " + px(p.y) + ") rotate(-90)"}},
             words);
  };
  for (std::size_t i = 0; i < at.labels.size(); i += static_cast<std::size_t>(at.every)) {
    const auto k = static_cast<std::int64_t>(i);
    draw_text(svg, kind, {at.left - 6, at.row(k) + at.cell / 2 + 4.5}, "end", at.labels[i]);
    const double x = at.column(k) + at.cell / 2;
    if (at.upright)
      turned(kind, {x + 4.5, at.bottom + 6}, "end", at.labels[i]);
    else
      draw_text(svg, kind, {x, at.bottom + 17}, "middle", at.labels[i]);
  }
  draw_text(svg, "label", {(at.left + at.right) / 2, at.height - 10}, "middle", "predicted");
  turned("label", {18, (at.top + at.bottom) / 2}, "middle", "actual");
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE std::string to_svg(const ConfusionMatrix& matrix, const ConfusionPlot& how) {
  const detail::ConfusionLayout at(matrix, how);
  detail::SvgWriter svg;
  svg.open("svg", {{"xmlns", "http://www.w3.org/2000/svg"},
                   {"class", "thaw-figure"},
                   {"role", "img"},
                   {"width", at.width()},
                   {"height", at.height},
                   {"viewBox", "0 0 " + detail::px(at.width()) + " " + detail::px(at.height)},
                   {"style", "max-width:100%;height:auto"}});
  svg.text("title", {}, how.title);
  svg.append(detail::svg_style);
  svg.append(detail::confusion_style);
  svg.empty("rect", {{"class", "page"}, {"width", at.width()}, {"height", at.height}});
  for (std::int64_t i = 0; i < matrix.size() && at.every == 1; ++i) {  // along which a row and a column can be followed
    detail::draw_line(svg, "grid", {at.left, at.row(i)}, {at.right, at.row(i)});
    detail::draw_line(svg, "grid", {at.column(i + 1), at.top}, {at.column(i + 1), at.bottom});
  }
  for (std::int64_t i = 0; i < matrix.size(); ++i)
    for (std::int64_t j = 0; j < matrix.size(); ++j)
      if (matrix.count(i, j) > 0) detail::draw_cell(svg, matrix, at, how, i, j);
  detail::draw_line(svg, "axis", {at.left, at.top}, {at.left, at.bottom});
  detail::draw_line(svg, "axis", {at.left, at.bottom}, {at.right, at.bottom});
  detail::draw_labels(svg, at);
  svg.close("svg");
  return std::move(svg).take();
}

THAW_INLINE void write_svg(const ConfusionMatrix& matrix, const std::filesystem::path& path, const ConfusionPlot& how) {
  detail::write_file(path, to_svg(matrix, how));
}

}  // namespace thaw

#endif
