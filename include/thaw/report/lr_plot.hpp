// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <thaw/core/compiled.hpp>
#include <thaw/find/lr_curve.hpp>
#include <thaw/find/suggest.hpp>
#include <thaw/report/detail/lr_text.hpp>
#include <thaw/report/detail/lr_view.hpp>
#include <thaw/report/detail/text_canvas.hpp>
#include <thaw/report/svg.hpp>

namespace thaw {

/// A stage that trained at what a curve says: its name, and its rate for the group that the curve is of.
struct TakenRate {
  std::string stage = {};
  double lr = 0;
};

/// What is known of a curve besides.
struct LRPlot {
  std::vector<std::string> groups = {};  ///< names of the layer groups: whose curve it is, where one group alone moved
  std::vector<TakenRate> taken = {};     ///< what came of it
};

/// The curve as a figure: loss by rate (logarithmic), raw and smoothed, and of held-out samples where there are some.
/// Every suggestion has a dot on the smoothed curve and its name above it, and so has every rate that was taken; where
/// none is given, the recommended one is marked. The axis is that of the smoothed and held-out losses: spikes, and the
/// far end, where the loss explodes, are cut off.
[[nodiscard]] Figure to_figure(const LRCurve& curve, const LRPlot& known = {});

/// `to_figure(curve, known)` as SVG text.
[[nodiscard]] std::string to_svg(const LRCurve& curve, const LRPlot& known = {});

/// Writes `to_svg(curve, known)` to a file, which is replaced in one step or not at all. Throws FileError.
void write_svg(const LRCurve& curve, const std::filesystem::path& path, const LRPlot& known = {});

/// How a plot in the terminal looks.
struct TextPlot {
  std::size_t width = 72;   ///< columns in all, at least those of the labels and 16 more
  std::size_t height = 14;  ///< rows between the axes, at least 4
  bool ascii = false;       ///< for terminals and logs without Unicode
};

/// The smoothed curve as text, its suggestions marked by number and listed below. Ends with a line break.
[[nodiscard]] std::string to_text(const LRCurve& curve, TextPlot plot = {});

}  // namespace thaw

/// `fmt::print("{}", curve)` plots the curve in the terminal, as `to_text(curve)` does.
template <>
struct fmt::formatter<thaw::LRCurve> {
  constexpr auto parse(format_parse_context& context) { return context.begin(); }
  template <class Context>
  auto format(const thaw::LRCurve& curve, Context& context) const {
    return fmt::format_to(context.out(), "{}", thaw::to_text(curve));
  }
};

#if THAW_DEFINES(report)

namespace thaw {

THAW_INLINE Figure to_figure(const LRCurve& curve, const LRPlot& known) {
  const bool one = detail::is_of_one_group(curve);
  const std::size_t group = detail::group_of(curve), color = one ? group : 0;
  Panel panel{.title = "loss", .height = 300};
  if (one && group < known.groups.size()) panel.title += ", group " + known.groups[group] + " alone";
  panel.series = {{.name = "raw", .x = curve.lr, .y = curve.loss, .color = color, .thin = true},
                  {.name = "smoothed", .x = curve.lr, .y = curve.smoothed, .color = color}};
  std::vector<double> held_out;
  if (curve.held_out.size() > 1) {  // the first was before any step
    held_out.assign(curve.held_out.begin() + 1, curve.held_out.end());
    panel.series.push_back({.name = "held-out",
                            .x = {curve.held_out_lr.begin() + 1, curve.held_out_lr.end()},
                            .y = held_out,
                            .color = 6});  // that of no suggestion
  }
  panel.y = detail::loss_axis(curve, held_out);
  Figure figure{.title = "Loss by learning rate", .x = {.label = "learning rate", .log = true}, .name_rows = 8};
  const auto add = [&](std::string name, double lr, double loss, bool strong) {
    std::size_t next = panel.markers.size();
    if (next >= color) ++next;  // that of the curve is taken
    panel.markers.push_back({.x = lr, .y = loss, .color = std::min<std::size_t>(next, 6)});
    figure.boundaries.push_back({.x = lr, .name = std::move(name), .strong = strong});
  };
  std::vector<TakenRate> taken = known.taken;
  for (Suggestion s : suggestions(curve)) {
    s.recommended = s.recommended && known.taken.empty();
    std::string name = detail::suggestion_label(s);
    const std::size_t all = taken.size();
    std::erase_if(taken, [&](const TakenRate& each) {
      if (!detail::same_rate(each.lr, s.lr)) return false;
      name += ": " + each.stage;
      return true;
    });
    add(std::move(name), s.lr, s.loss, s.recommended || taken.size() < all);
  }
  for (const TakenRate& each : taken) {
    const auto at = static_cast<std::size_t>(std::ranges::lower_bound(curve.lr, each.lr) - curve.lr.begin());
    const double loss = curve.smoothed.empty() ? std::numeric_limits<double>::quiet_NaN()
                                               : curve.smoothed[std::min(at, curve.smoothed.size() - 1)];
    add("taken " + detail::scientific(each.lr, 1) + ": " + each.stage, each.lr, loss, /*strong=*/true);
  }
  figure.panels.push_back(std::move(panel));
  return figure;
}

THAW_INLINE std::string to_svg(const LRCurve& curve, const LRPlot& known) {
  return to_svg(to_figure(curve, known));
}

THAW_INLINE void write_svg(const LRCurve& curve, const std::filesystem::path& path, const LRPlot& known) {
  write_svg(to_figure(curve, known), path);
}

THAW_INLINE std::string to_text(const LRCurve& curve, TextPlot plot) {
  const std::optional<detail::TextFrame> frame = detail::text_frame(curve, plot.width, plot.height);
  if (!frame) return "loss by learning rate: no data to show\n";
  const std::vector<Suggestion> marked = suggestions(curve);
  detail::TextCanvas canvas{frame->columns, frame->rows, plot.ascii};
  const auto place = [&](double lr, double loss) { return detail::Point{frame->x(lr), frame->y(loss)}; };
  for (std::size_t i = 0; i < curve.lr.size(); ++i) {
    const std::size_t next = std::min(i + 1, curve.lr.size() - 1);
    canvas.line(place(curve.lr[i], curve.smoothed[i]), place(curve.lr[next], curve.smoothed[next]));
  }
  for (std::size_t i = 0; i < marked.size(); ++i)
    canvas.mark(place(marked[i].lr, marked[i].loss), static_cast<char>('1' + i));
  return detail::text_plot(*frame, canvas, plot.ascii) + detail::numbered(marked, plot.width);
}

}  // namespace thaw

#endif
