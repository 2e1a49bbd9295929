// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <thaw/core/compiled.hpp>
#include <thaw/report/detail/run_series.hpp>
#include <thaw/report/svg.hpp>
#include <thaw/train/history.hpp>

namespace thaw {

namespace detail {

/// Training loss of every step, raw and smoothed, and validation loss of every epoch; the title says how high they
/// reach where that is cut off.
[[nodiscard]] Panel loss_panel(const History& history, const std::vector<double>& ends);

/// One metric over the epochs.
[[nodiscard]] Series metric_series(const History& history, const std::vector<double>& ends, const std::string& name);

/// Of more lines than there are colors, those that end lowest.
void keep_lowest(Panel& panel);

/// Metrics in [0, 1] share a panel; any other has its own scale and panel, and so has one with a value for each class.
[[nodiscard]] std::vector<Panel> metric_panels(const History& history, const std::vector<double>& ends);

/// The rate of every layer group while it was trained.
[[nodiscard]] SharedLines rate_lines(const History& history);

[[nodiscard]] std::optional<Panel> momentum_panel(const History& history);

}  // namespace detail

/// A whole run over its optimizer steps, panel below panel: training and validation loss; the metrics; which layer
/// groups were trained, and which stood still (frozen, or at a rate of 0), where there are several; the rate of each
/// while it was trained; momentum where there is one. Colors, and where stages begin, as in the figure of a plan.
[[nodiscard]] Figure to_figure(const History& history);

/// `to_figure(history)` as SVG text.
[[nodiscard]] std::string to_svg(const History& history);

/// Writes `to_svg(history)` to a file, which is replaced in one step or not at all. Throws FileError.
void write_svg(const History& history, const std::filesystem::path& path);

}  // namespace thaw

#if THAW_DEFINES(report)

namespace thaw::detail {

THAW_INLINE Panel loss_panel(const History& history, const std::vector<double>& ends) {
  const StepSeries by_step{history};
  const std::vector<double> smooth = by_step.smoothed_losses();
  Panel panel{.title = "loss", .height = 210};
  panel.series = {by_step({.name = "training, per step", .thin = true}, [&](auto i) { return history.steps[i].loss; }),
                  by_step({.name = "smoothed"}, [&](auto i) { return smooth[i]; })};
  Series valid{.name = "validation", .x = ends, .color = 1, .dots = true};
  for (const EpochRecord& epoch : history.epochs) valid.y.push_back(epoch.valid ? epoch.valid->loss : no_value);
  if (const auto core = core_of(panel.series[0].y, valid.y)) {
    Extent all{/*log=*/false};
    all.add(panel.series[0].y);
    all.add(valid.y);
    const double length = core->high - core->low, highest = all.range().value_or(*core).high,
                 above = highest - core->high;
    panel.y = axis_around(*core, std::min(0.5, above / length));
    if (panel.y.highest && above > length) panel.title += fmt::format(", cut off: up to {:.3g}", highest);
  }
  if (std::ranges::any_of(valid.y, [](double y) { return std::isfinite(y); })) panel.series.push_back(std::move(valid));
  return panel;
}

THAW_INLINE Series metric_series(const History& history, const std::vector<double>& ends, const std::string& name) {
  Series series{.name = name, .x = ends, .dots = true};
  for (const EpochRecord& epoch : history.epochs) {
    series.y.push_back(no_value);
    if (!epoch.valid) continue;
    const auto found = std::ranges::find(epoch.valid->metrics, name, &MetricValue::name);
    if (found != epoch.valid->metrics.end()) series.y.back() = found->value;
  }
  return series;
}

THAW_INLINE void keep_lowest(Panel& panel) {
  if (const std::size_t all = panel.series.size(); all > palette_size) {
    const auto last = [](const Series& series) { return std::isnan(series.y.back()) ? HUGE_VAL : series.y.back(); };
    std::ranges::stable_sort(panel.series, {}, last);
    panel.series.resize(palette_size);
    panel.title += fmt::format(", the lowest of {}", all);
  }
  for (std::size_t i = 0; i < panel.series.size(); ++i) panel.series[i].color = i;
}

THAW_INLINE std::vector<Panel> metric_panels(const History& history, const std::vector<double>& ends) {
  Panel shares{.title = "metrics", .height = 130};
  std::vector<Panel> panels, by_class;
  for (const std::string& name : metric_names(history)) {
    Series series = metric_series(history, ends, name);
    if (const std::size_t bracket = name.find('['); bracket != std::string::npos) {  // one value of several
      const std::string title = name.substr(0, bracket);
      if (by_class.empty() || by_class.back().title != title) by_class.push_back({.title = title, .height = 130});
      series.name = name.substr(bracket + 1, name.size() - bracket - 2);
      by_class.back().series.push_back(std::move(series));
      continue;
    }
    const bool share = std::ranges::none_of(series.y, [](double y) { return y < 0 || y > 1; });
    series.color = share ? 2 + shares.series.size() : 2;
    if (share)
      shares.series.push_back(std::move(series));
    else
      panels.push_back({.title = name, .series = {std::move(series)}, .height = 130});
  }
  if (shares.series.size() == 1) shares.title = shares.series[0].name;
  if (!shares.series.empty()) panels.insert(panels.begin(), std::move(shares));
  for (Panel& panel : by_class) {
    keep_lowest(panel);
    panels.push_back(std::move(panel));
  }
  return panels;
}

THAW_INLINE SharedLines rate_lines(const History& history) {
  const auto rate = [&](std::size_t step, std::size_t group) {
    const std::vector<double>& lr = history.steps[step].lr;
    return group < lr.size() && lr[group] > 0 ? lr[group] : no_value;
  };
  SharedLines lines;
  const StepSeries by_step{history};
  for (std::size_t group = 0; group < history.groups.size(); ++group)
    lines.add(by_step({}, [&](auto step) { return rate(step, group); }));
  return lines;
}

THAW_INLINE std::optional<Panel> momentum_panel(const History& history) {
  if (std::ranges::none_of(history.steps, [](const StepRecord& step) { return step.momentum.has_value(); })) return {};
  const auto momentum = [&](std::size_t step) { return history.steps[step].momentum.value_or(no_value); };
  return Panel{.title = "momentum", .series = {StepSeries{history}({.color = 6}, momentum)}, .height = 80};
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE Figure to_figure(const History& history) {
  std::vector<double> ends;  // of epochs, in steps
  ends.reserve(history.epochs.size());
  for (const EpochRecord& epoch : history.epochs) ends.push_back(static_cast<double>(epoch.steps_done));
  Figure figure{.title = "Training run", .x = {.label = "optimizer steps", .lowest = 0}};
  figure.panels.push_back(detail::loss_panel(history, ends));
  for (Panel& panel : detail::metric_panels(history, ends)) figure.panels.push_back(std::move(panel));
  if (history.groups.size() > 1) figure.panels.push_back(detail::group_spans(history).panel(history.groups));
  figure.panels.push_back(detail::rate_panel(detail::rate_lines(history)));
  if (auto momentum = detail::momentum_panel(history)) figure.panels.push_back(std::move(*momentum));
  for (const StageRecord& stage : history.stages)
    figure.boundaries.push_back({.x = static_cast<double>(stage.first_step), .name = stage.name});
  return figure;
}

THAW_INLINE std::string to_svg(const History& history) {
  return to_svg(to_figure(history));
}

THAW_INLINE void write_svg(const History& history, const std::filesystem::path& path) {
  write_svg(to_figure(history), path);
}

}  // namespace thaw

#endif
