// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <thaw/find/suggest.hpp>
#include <thaw/report/detail/lr_view.hpp>
#include <thaw/report/detail/numbers.hpp>
#include <thaw/report/lr_plot.hpp>
#include <thaw/report/table.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/monitor.hpp>

// What a reader asks first: how good it got, when, and by which choices.
namespace thaw::detail {

/// The first metric that is one number and of which is known which way it should go, or else the validation loss, or
/// the training loss.
[[nodiscard]] inline Monitor judged_by(const Learner& learner, std::span<const EpochRecord> epochs) {
  for (const EpochRecord& epoch : epochs) {
    if (!epoch.valid) continue;
    for (const MetricValue& each : epoch.valid->metrics) {
      const auto metric = std::ranges::find(learner.metrics(), each.name, &Metric::name);
      const Better better = metric == learner.metrics().end() ? Better::by_name : metric->better;
      if (better != Better::by_name || better_by_name(each.name)) return {each.name, better};
    }
    return {};
  }
  return {"train_loss"};
}

/// NaN where the epoch lacks it.
[[nodiscard]] inline double value_in(const EpochRecord& epoch, const Monitor& monitor) {
  try {
    return monitor.value(epoch);
  } catch (const ConfigError&) {  // a resumed run may have other metrics than the one before
    return std::numeric_limits<double>::quiet_NaN();
  }
}

/// The first epoch with the best value; null where none has one.
[[nodiscard]] inline const EpochRecord* best_epoch(std::span<const EpochRecord> epochs, const Monitor& monitor) {
  const EpochRecord* best = nullptr;
  for (const EpochRecord& epoch : epochs) {
    const double value = value_in(epoch, monitor);
    if (std::isnan(value)) continue;
    if (best == nullptr || monitor.improves(value, value_in(*best, monitor))) best = &epoch;
  }
  return best;
}

/// The rule by which the stage has its rate from what the LR finder saw right before it: "before_rise", say. Empty
/// where there is none.
[[nodiscard]] inline std::string finder_rule(std::vector<LRCurve> curves, std::int64_t first_step,
                                             const std::vector<double>& lr) {
  std::erase_if(curves, [&](const LRCurve& curve) { return curve.before_step != first_step; });
  const auto alone = static_cast<double>(std::ranges::count_if(curves, is_of_one_group));
  std::string rule;
  for (const LRCurve& curve : curves) {
    std::vector<Suggestion> all = suggestions(curve);
    if (const auto edge = suggest_edge(curve)) all.push_back(*edge);
    const bool one = is_of_one_group(curve);
    const std::size_t group = curve.ratios.empty() ? lr.size() - 1 : group_of(curve);
    for (const Suggestion& each : all)
      if (group < lr.size() && same_rate(each.lr / (one ? alone : 1), lr[group]))
        rule = each.name + (one ? " of each group" : "");
  }
  return rule;
}

/// The stage that came after the curve was measured, once for each time that it began (a recipe begins it again,
/// slower).
[[nodiscard]] inline std::vector<TakenRate> taken_rates(const Learner& learner, const LRCurve& curve) {
  std::int64_t next = std::numeric_limits<std::int64_t>::max();
  for (const LRCurve& other : learner.lr_curves())
    if (other.before_step > curve.before_step) next = std::min(next, other.before_step);
  std::vector<TakenRate> taken;
  for (const StageRecord& stage : learner.history().stages) {
    if (curve.before_step < 0 || stage.first_step < curve.before_step || stage.first_step >= next) continue;
    if (!taken.empty() && taken[0].stage != stage.name) break;
    if (const std::size_t group = group_of(curve); group < stage.lr.size() && stage.lr[group] > 0)
      taken.push_back({stage.name, stage.lr[group]});
  }
  return taken;
}

/// "best accuracy: 0.8830 (stage thawed, epoch 3 of 5); last epoch: 0.8810; 8 epochs in 12:34"
[[nodiscard]] inline std::string answer(const History& history, const Monitor& monitor) {
  const EpochRecord* best = best_epoch(history.epochs, monitor);
  if (best == nullptr) return {};
  double seconds = 0;
  for (const EpochRecord& epoch : history.epochs) seconds += epoch.seconds;
  const EpochRecord& last = history.epochs.back();
  return fmt::format("best {}: {} (stage {}, epoch {} of {}); last epoch: {}; {} epoch{} in {}", monitor.name,
                     measured(value_in(*best, monitor)), best->stage, best->epoch, best->epochs,
                     measured(value_in(last, monitor)), history.epochs.size(), history.epochs.size() == 1 ? "" : "s",
                     duration(seconds));
}

/// A row per stage: how long, at which rate and by which rule of the finder, and its best epoch.
[[nodiscard]] inline Table stages_table(const Learner& learner, const Monitor& monitor) {
  const History& history = learner.history();
  Table table{.headers = {"stage", "epochs", "rate", "finder's rule", "best " + monitor.name, "in epoch", "time"}};
  std::span<const EpochRecord> rest = history.epochs;
  for (std::size_t i = 0; i < history.stages.size(); ++i) {
    const StageRecord& stage = history.stages[i];
    const std::int64_t end = i + 1 < history.stages.size() ? history.stages[i + 1].first_step : history.steps_done;
    const auto behind = std::ranges::find_if(rest, [&](const EpochRecord& epoch) { return epoch.steps_done > end; });
    const std::span<const EpochRecord> own = rest.first(static_cast<std::size_t>(behind - rest.begin()));
    rest = rest.subspan(own.size());
    double seconds = 0;
    for (const EpochRecord& epoch : own) seconds += epoch.seconds;
    const EpochRecord* best = best_epoch(own, monitor);
    const auto rate = std::ranges::find_if(stage.lr.rbegin(), stage.lr.rend(), [](double lr) { return lr > 0; });
    table.add(stage.name, own.size(), rate == stage.lr.rend() ? "" : scientific(*rate, 1),
              finder_rule(learner.lr_curves(), stage.first_step, stage.lr),
              best == nullptr ? "" : measured(value_in(*best, monitor)),
              best == nullptr ? "" : std::to_string(best->epoch), duration(seconds));
  }
  if (std::ranges::all_of(table.rows, [](const auto& row) { return row[3].empty(); })) {  // no rule gave a rate
    table.headers.erase(table.headers.begin() + 3);
    for (auto& row : table.rows) row.erase(row.begin() + 3);
  }
  return table;
}

}  // namespace thaw::detail
