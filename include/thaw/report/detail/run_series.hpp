// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <thaw/report/detail/group_panels.hpp>
#include <thaw/report/detail/scale.hpp>
#include <thaw/report/figure.hpp>
#include <thaw/train/history.hpp>

namespace thaw::detail {

/// Of all metrics that some epoch has, in the order in which they came.
[[nodiscard]] inline std::vector<std::string> metric_names(const History& history) {
  std::vector<std::string> names;
  for (const EpochRecord& epoch : history.epochs)
    for (const MetricValue& metric : epoch.valid.value_or(Evaluation{}).metrics)
      if (std::ranges::find(names, metric.name) == names.end()) names.push_back(metric.name);
  return names;
}

/// The mean of an exponential average of `values` from the left and one from the right, so that it does not lag behind;
/// each forgets after about `span` values. What is not finite is left out and stays as it is.
[[nodiscard]] inline std::vector<double> smoothed(std::span<const double> values, double span) {
  const double keep = 1 - 1 / std::max(span, 1.0);
  const std::size_t n = values.size();
  std::vector<double> means(n);
  for (const bool from_right : {false, true}) {
    double average = 0, weight = 0;
    for (std::size_t k = 0; k < n; ++k) {
      const std::size_t i = from_right ? n - 1 - k : k;
      if (std::isfinite(values[i])) {
        average = keep * average + (1 - keep) * values[i];
        weight = keep * weight + (1 - keep);
        means[i] += average / weight / 2;
      } else {
        means[i] = values[i];
      }
    }
  }
  return means;
}

/// The losses worth a look: those of all steps but a tenth with the largest ones, as the first steps have, and those of
/// validation, but for what lies three times as far out. None where nothing is finite.
[[nodiscard]] inline std::optional<Range> core_of(std::vector<double> losses, const std::vector<double>& valid) {
  const auto not_finite = [](double loss) { return !std::isfinite(loss); };
  if (std::ranges::all_of(losses, not_finite)) losses = valid;
  std::erase_if(losses, not_finite);
  if (losses.empty()) return std::nullopt;
  std::ranges::sort(losses);
  Range core{losses.front(), losses[losses.size() * 9 / 10]};
  const double far = core.low + 3 * (core.high - core.low);
  for (const double loss : valid) {
    if (not_finite(loss)) continue;
    core.low = std::min(core.low, loss);
    core.high = std::max(core.high, std::min(loss, far));
  }
  return core;
}

/// Training as lines over its steps, which pause where a stage begins.
class StepSeries {
 public:
  explicit StepSeries(const History& history) : history_(history) {
    for (const StageRecord& stage : history.stages)
      starts_.push_back(static_cast<std::size_t>((stage.first_step + history.every - 1) / history.every));
  }

  /// `value(i)` of each record i, drawn at the number of steps done with it.
  template <class Value>
  [[nodiscard]] Series operator()(Series series, Value value) const {
    for (std::size_t i = 0; i < history_.steps.size(); ++i) {
      const double step = static_cast<double>(i) * static_cast<double>(history_.every);
      if (std::ranges::binary_search(starts_, i)) {
        series.x.push_back(step);
        series.y.push_back(no_value);
      }
      series.x.push_back(step + 1);
      series.y.push_back(value(i));
    }
    return series;
  }

  /// The training losses, smoothed within each stage.
  [[nodiscard]] std::vector<double> smoothed_losses() const {
    std::vector<double> all(history_.steps.size());
    std::ranges::transform(history_.steps, all.begin(), &StepRecord::loss);
    for (std::size_t begin = 0, end = 0; begin < all.size(); begin = end) {
      const auto next = std::ranges::upper_bound(starts_, begin);
      end = next == starts_.end() ? all.size() : std::min(*next, all.size());
      const std::span stage = std::span(all).subspan(begin, end - begin);
      std::ranges::copy(smoothed(stage, std::clamp(static_cast<double>(stage.size()) / 6, 3.0, 50.0)), stage.begin());
    }
    return all;
  }

 private:
  const History& history_;
  std::vector<std::size_t> starts_;  // each stage's first record; rising, as the stages are
};

/// Which groups a step left as they were: frozen, or at a rate of 0. Where no group has a rate, it is the schedule that
/// is at 0, and things are as `before`.
[[nodiscard]] inline std::vector<bool> still_in(const StepRecord& step, std::vector<bool> before) {
  if (std::ranges::none_of(step.lr, [](double lr) { return lr > 0; })) return before;
  std::vector<bool> still(step.lr.size());
  for (std::size_t i = 0; i < still.size(); ++i) still[i] = !(step.lr[i] > 0);
  return still;
}

/// When each group stood still, by the steps that were recorded.
[[nodiscard]] inline GroupSpans group_spans(const History& history) {
  GroupSpans spans(history.groups.size());
  std::vector<bool> still, norms_only;
  auto stage = history.stages.begin();
  auto epoch = history.epochs.begin();
  for (std::size_t i = 0; i < history.steps.size(); ++i) {
    const auto first = static_cast<std::int64_t>(i) * history.every;
    for (; epoch != history.epochs.end() && epoch->steps_done <= first; ++epoch) norms_only = epoch->norms_only;
    for (; stage != history.stages.end() && stage->first_step <= first; ++stage) still = norms_only = stage->frozen;
    if (epoch != history.epochs.end()) norms_only = epoch->norms_only;  // the running one has no record yet
    still = still_in(history.steps[i], std::move(still));
    spans.add(static_cast<double>(first), static_cast<double>(std::min(first + history.every, history.steps_done)),
              still, norms_only);
  }
  return spans;
}

}  // namespace thaw::detail
