// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/report/svg.hpp>
#include <thaw/schedule/schedule.hpp>

namespace thaw {

/// A schedule and what a picture calls it. Some count in steps or epochs: `steps` and `epochs` are those of the stage.
struct NamedSchedule {
  std::string name = {};
  AnySchedule schedule = Constant{};
  std::int64_t steps = 1000;
  std::int64_t epochs = 10;
};

/// Schedules over the position t in a stage, from 0 to 1. Knows no torch.
///
///     thaw::write_svg(thaw::SchedulePlot{{{"one-cycle", thaw::OneCycle{}}, {"cosine", thaw::Cosine{}}}}, "rates.svg");
struct SchedulePlot {
  std::vector<NamedSchedule> schedules = {};
  double lr = 1;     ///< peak rate; 1 shows the multipliers
  bool log = false;  ///< a logarithmic axis for the rates
};

namespace detail {

/// A schedule's rate and momentum at as many places as a picture can show.
struct ScheduleLines {
  Series rate = {}, momentum = {};

  ScheduleLines(const NamedSchedule& of, double lr);

  [[nodiscard]] bool same(const ScheduleLines& other) const;
};

void check(const NamedSchedule& schedule);

}  // namespace detail

/// Rates (or their multipliers) of all schedules, and their momenta where one of them sets some. Those that say the
/// same share a line. Throws ConfigError for a schedule that makes no sense, and for less than one step per epoch.
[[nodiscard]] Figure to_figure(const SchedulePlot& plot);

/// `to_figure(plot)` as SVG text.
[[nodiscard]] std::string to_svg(const SchedulePlot& plot);

/// Writes `to_svg(plot)` to a file, which is replaced in one step or not at all. Throws FileError.
void write_svg(const SchedulePlot& plot, const std::filesystem::path& path);

}  // namespace thaw

#if THAW_DEFINES(report)

namespace thaw::detail {

THAW_INLINE ScheduleLines::ScheduleLines(const NamedSchedule& of, double lr) : rate{.name = of.name} {
  constexpr int places = 500;
  for (int i = 0; i < places; ++i) {
    const double t = static_cast<double>(i) / places;
    const auto step = static_cast<std::int64_t>(t * static_cast<double>(of.steps));
    const ScheduleValue value =
        of.schedule({.step = step, .steps = of.steps, .steps_per_epoch = of.steps / of.epochs}, t);
    rate.x.push_back(t);
    rate.y.push_back(lr * value.lr);
    momentum.y.push_back(value.momentum.value_or(std::numeric_limits<double>::quiet_NaN()));
  }
  momentum.x = rate.x;
}

THAW_INLINE bool ScheduleLines::same(const ScheduleLines& other) const {
  const auto equal = [](double a, double b) { return a == b || (a != a && b != b); };
  return std::ranges::equal(rate.y, other.rate.y, equal) && std::ranges::equal(momentum.y, other.momentum.y, equal);
}

THAW_INLINE void check(const NamedSchedule& schedule) {
  if (schedule.epochs < 1 || schedule.steps < schedule.epochs)
    throw ConfigError("SchedulePlot",
                      "\"" + schedule.name + "\" has " + std::to_string(schedule.steps) + " steps in " +
                          std::to_string(schedule.epochs) + " epochs",
                      "give each epoch at least 1 step");
  schedule.schedule.check();
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE Figure to_figure(const SchedulePlot& plot) {
  std::vector<detail::ScheduleLines> all;
  for (const NamedSchedule& schedule : plot.schedules) {
    detail::check(schedule);
    detail::ScheduleLines lines(schedule, plot.lr);
    const auto same = std::ranges::find_if(all, [&](const auto& other) { return other.same(lines); });
    lines.rate.color = lines.momentum.color = all.size();
    if (same == all.end())
      all.push_back(std::move(lines));
    else
      same->rate.name += ", " + lines.rate.name;
  }
  Panel rates{.title = plot.lr == 1 ? "multiplier of the rate" : "learning rate", .y = {.log = plot.log}};
  Panel momenta{.title = "momentum", .height = 100};
  for (detail::ScheduleLines& lines : all) {
    rates.series.push_back(std::move(lines.rate));
    momenta.series.push_back(std::move(lines.momentum));
  }
  Figure figure{.title = "Schedules", .x = {.label = "part of the stage", .lowest = 0, .highest = 1}};
  figure.panels.push_back(std::move(rates));
  if (detail::has_data(momenta)) figure.panels.push_back(std::move(momenta));
  return figure;
}

THAW_INLINE std::string to_svg(const SchedulePlot& plot) {
  return to_svg(to_figure(plot));
}

THAW_INLINE void write_svg(const SchedulePlot& plot, const std::filesystem::path& path) {
  write_svg(to_figure(plot), path);
}

}  // namespace thaw

#endif
