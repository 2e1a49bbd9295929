// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/report/detail/run_series.hpp>
#include <thaw/report/svg.hpp>
#include <thaw/train/history.hpp>

namespace thaw {

namespace detail {

/// Training loss of every step, raw and smoothed, and validation loss of every epoch.
[[nodiscard]] Panel loss_panel(const History& history, const std::vector<double>& ends);

/// One metric over the epochs.
[[nodiscard]] Series metric_series(const History& history, const std::vector<double>& ends, const std::string& name);

/// Metrics in [0, 1] share a panel; any other has its own scale and panel.
[[nodiscard]] std::vector<Panel> metric_panels(const History& history, const std::vector<double>& ends);

/// The rate of every layer group while it was trained.
[[nodiscard]] SharedLines rate_lines(const History& history);

[[nodiscard]] std::optional<Panel> momentum_panel(const History& history);

}  // namespace detail

/// A whole run over its optimizer steps, panel below panel: training and validation loss; the metrics; which layer
/// groups were trained, and which stood still (frozen, or at a rate of 0), where there are several; the rate of each
/// while it was trained; momentum where there is one. Lines and shades show where stages begin.
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
  Extent core{/*log=*/false};
  core.add(smooth);
  core.add(valid.y);
  if (core.range()) panel.y = axis_around(*core.range(), panel.series[0].y, 0);
  if (core.range() && std::ranges::any_of(valid.y, [](double y) { return std::isfinite(y); }))
    panel.series.push_back(std::move(valid));
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

THAW_INLINE std::vector<Panel> metric_panels(const History& history, const std::vector<double>& ends) {
  Panel shares{.title = "metrics", .height = 130};
  std::vector<Panel> panels;
  for (const std::string& name : metric_names(history)) {
    Series series = metric_series(history, ends, name);
    const bool share = std::ranges::none_of(series.y, [](double y) { return y < 0 || y > 1; });
    series.color = share ? 2 + shares.series.size() : 2;
    if (share)
      shares.series.push_back(std::move(series));
    else
      panels.push_back({.title = name, .series = {std::move(series)}, .height = 130});
  }
  if (shares.series.size() == 1) shares.title = shares.series[0].name;
  if (!shares.series.empty()) panels.insert(panels.begin(), std::move(shares));
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
  detail::SharedLines rates = detail::rate_lines(history);
  if (history.groups.size() > 1) figure.panels.push_back(detail::group_spans(history).panel(history.groups, rates.of));
  figure.panels.push_back(detail::rate_panel(std::move(rates)));
  if (auto momentum = detail::momentum_panel(history)) figure.panels.push_back(std::move(*momentum));
  for (const StageRecord& stage : history.stages)
    detail::add_stage(figure, stage.name, static_cast<double>(stage.first_step), static_cast<double>(stage.steps));
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
