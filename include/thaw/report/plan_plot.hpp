// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/report/detail/group_panels.hpp>
#include <thaw/report/svg.hpp>
#include <thaw/train/plan.hpp>

namespace thaw {

namespace detail {

/// Of the steps 0 .. steps - 1 some that a picture needs, with the first, the last, and both sides of each of
/// `changes`.
[[nodiscard]] std::vector<std::int64_t> sampled_steps(std::int64_t steps, const std::vector<std::int64_t>& changes);

/// A plan's lines over its steps, which pause where a stage begins.
class PlanSeries {
 public:
  explicit PlanSeries(const std::vector<StageDescription>& plan);

  /// `value(point)`, drawn at the number of steps done with it.
  template <class Value>
  [[nodiscard]] Series operator()(Series series, Value value) const {
    for (const Point& point : points_) {
      if (point.begins) {
        series.x.push_back(point.step);
        series.y.push_back(no_value);
      }
      series.x.push_back(point.step + 1);
      series.y.push_back(value(point));
    }
    return series;
  }

  struct Point {
    double step;
    bool begins;  ///< its stage
    const StageDescription* stage;
    const std::vector<bool>* frozen;
    ScheduleValue value;

    /// NaN where the group is frozen.
    [[nodiscard]] double rate(std::size_t group) const {
      if (group >= stage->groups.size() || (group < frozen->size() && (*frozen)[group])) return no_value;
      return stage->groups[group].lr * value.lr;
    }
  };
  [[nodiscard]] const std::vector<Point>& points() const { return points_; }

 private:
  void add(const StageDescription& stage, std::int64_t first);

  std::vector<Point> points_;
};

/// When each group is to stand still.
[[nodiscard]] GroupSpans group_spans(const std::vector<StageDescription>& plan, std::size_t groups);

}  // namespace detail

/// A plan before it runs, over its optimizer steps, panel below panel: which layer groups train and which are frozen,
/// where there are several; the rate of each while it trains; momentum where a schedule sets one. A group has one color
/// in all panels; groups that always have the same rate share a line, along which their colors take turns. Stages begin
/// at the dotted lines.
///
///     thaw::write_svg(learner.describe(plan), "plan.svg");
[[nodiscard]] Figure to_figure(const std::vector<StageDescription>& plan);

/// `to_figure(plan)` as SVG text.
[[nodiscard]] std::string to_svg(const std::vector<StageDescription>& plan);

/// Writes `to_svg(plan)` to a file, which is replaced in one step or not at all. Throws FileError.
void write_svg(const std::vector<StageDescription>& plan, const std::filesystem::path& path);

}  // namespace thaw

#if THAW_DEFINES(report)

namespace thaw::detail {

THAW_INLINE std::vector<std::int64_t> sampled_steps(std::int64_t steps, const std::vector<std::int64_t>& changes) {
  constexpr std::int64_t most = 1000;
  std::vector<std::int64_t> sampled;
  const auto add = [&](std::int64_t step) {
    if (step >= 0 && step < steps) sampled.push_back(step);
  };
  for (std::int64_t step = 0; step < steps; step += (steps + most - 1) / most) add(step);
  for (const std::int64_t change : changes) add(change - 1), add(change);
  add(steps - 1);
  std::ranges::sort(sampled);
  // Not std::ranges::unique: what it returns does not compile by Clang 14 with the standard library of GCC 12.
  // NOLINTNEXTLINE(modernize-use-ranges)
  sampled.erase(std::unique(sampled.begin(), sampled.end()), sampled.end());
  return sampled;
}

THAW_INLINE PlanSeries::PlanSeries(const std::vector<StageDescription>& plan) {
  std::int64_t first = 0;
  for (const StageDescription& stage : plan) {
    add(stage, first);
    first += stage.steps();
  }
}

THAW_INLINE void PlanSeries::add(const StageDescription& stage, std::int64_t first) {
  static const std::vector<bool> none;
  std::vector<std::int64_t> changes;
  changes.reserve(stage.frozen.size());
  for (const FrozenFrom& change : stage.frozen) changes.push_back(change.step);
  auto next = stage.frozen.begin();
  const std::vector<bool>* frozen = &none;
  for (const std::int64_t step : sampled_steps(stage.steps(), changes)) {
    for (; next != stage.frozen.end() && next->step <= step; ++next) frozen = &next->frozen;
    points_.push_back(
        {.step = static_cast<double>(first + step),
         .begins = step == 0,
         .stage = &stage,
         .frozen = frozen,
         .value = stage.schedule({.step = step, .steps = stage.steps(), .steps_per_epoch = stage.steps_per_epoch})});
  }
}

THAW_INLINE GroupSpans group_spans(const std::vector<StageDescription>& plan, std::size_t groups) {
  GroupSpans spans(groups);
  double first = 0;
  for (const StageDescription& stage : plan) {
    const auto end = first + static_cast<double>(stage.steps());
    for (std::size_t i = 0; i < stage.frozen.size(); ++i) {
      const double to = i + 1 < stage.frozen.size() ? first + static_cast<double>(stage.frozen[i + 1].step) : end;
      spans.add(first + static_cast<double>(stage.frozen[i].step), to, stage.frozen[i].frozen,
                i < stage.frozen_but_norms.size() ? stage.frozen_but_norms[i].frozen : std::vector<bool>());
    }
    first = end;
  }
  return spans;
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE Figure to_figure(const std::vector<StageDescription>& plan) {
  Figure figure{.title = "Plan", .x = {.label = "optimizer steps", .lowest = 0}};
  std::vector<std::string> names;
  if (!plan.empty())
    for (const GroupPlan& group : plan.front().groups) names.push_back(group.name);
  const detail::PlanSeries by_step{plan};
  using Point = detail::PlanSeries::Point;
  detail::SharedLines rates;
  for (std::size_t group = 0; group < names.size(); ++group)
    rates.add(by_step({}, [&](const Point& at) { return at.rate(group); }));
  if (names.size() > 1) figure.panels.push_back(detail::group_spans(plan, names.size()).panel(names));
  figure.panels.push_back(detail::rate_panel(rates));
  const auto has_momentum = [](const Point& at) { return at.value.momentum.has_value(); };
  if (std::ranges::any_of(by_step.points(), has_momentum))
    figure.panels.push_back(
        {.title = "momentum",
         .series = {by_step({.color = 6},
                            [](const Point& at) { return at.value.momentum.value_or(detail::no_value); })},
         .height = 80});
  double first = 0;
  for (const StageDescription& stage : plan) {
    figure.boundaries.push_back({.x = first, .name = stage.name});
    first += static_cast<double>(stage.steps());
  }
  return figure;
}

THAW_INLINE std::string to_svg(const std::vector<StageDescription>& plan) {
  return to_svg(to_figure(plan));
}

THAW_INLINE void write_svg(const std::vector<StageDescription>& plan, const std::filesystem::path& path) {
  write_svg(to_figure(plan), path);
}

}  // namespace thaw

#endif
