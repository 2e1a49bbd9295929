// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include <thaw/report/detail/numbers.hpp>
#include <thaw/report/detail/utf8.hpp>
#include <thaw/report/table.hpp>
#include <thaw/train/events.hpp>

namespace thaw::detail {

/// "1 epoch", "2 epochs".
[[nodiscard]] inline std::string counted(std::int64_t n, std::string_view thing) {
  return fmt::format("{} {}{}", n, thing, n == 1 ? "" : "s");
}

/// "stage head: 3 epochs of 47 steps".
[[nodiscard]] inline std::string stage_title(const StageBegin& event) {
  return fmt::format("stage {}: {} of {}", shortened(event.stage, 60), counted(event.epochs, "epoch"),
                     counted(event.steps_per_epoch, "step"));
}

/// Names take at most `name_columns`.
[[nodiscard]] inline Table group_table(const std::vector<GroupPlan>& groups, std::size_t name_columns) {
  Table table{.headers = {"group", "parameters", "trained", "rate"}};
  for (const GroupPlan& group : groups)
    table.add(
        shortened(group.name, name_columns), with_separators(group.parameters), with_separators(group.trained),
        group.trained == 0
            ? "frozen"
            : scientific(group.lr, 1) +
                  (group.first_step == 0 ? "" : fmt::format(", from step {}", group.first_step + 1)) +
                  (group.thawed_step < 0                  ? ", norm layers only"
                   : group.thawed_step > group.first_step ? fmt::format(", all from step {}", group.thawed_step + 1)
                                                          : ""));
  return table;
}

/// The groups as text, each line after two blanks; where that is wider than `columns`, by shorter names.
[[nodiscard]] inline std::string group_text(const std::vector<GroupPlan>& groups, std::size_t columns) {
  constexpr std::size_t most = 40, least = 8;
  const Columns used{group_table(groups, most)};
  std::size_t width = 0;
  for (const std::size_t each : used.widths) width += 2 + each;
  const std::size_t excess = width > columns ? width - columns : 0;
  return to_text(group_table(groups, std::max(least, used.widths[0] - std::min(used.widths[0], excess))), "  ");
}

/// "stage head: 3 epochs in 12.3s, train loss 0.7000, valid loss 0.5000, accuracy 0.8125": what its last epoch gave.
[[nodiscard]] inline std::string stage_line(const StageEnd& event) {
  const std::vector<EpochRecord>& epochs = event.history.epochs;
  std::string text = fmt::format("stage {}: ", shortened(event.record.name, 60));
  const std::string stop = event.stop.empty() ? "" : fmt::format("; stopped: {}", shortened(event.stop, 200));
  if (epochs.empty() || event.record.steps == 0) return text + "no steps" + stop;
  const EpochRecord& last = epochs.back();
  double seconds = 0;
  for (auto i = epochs.size() - std::min(epochs.size(), static_cast<std::size_t>(last.epoch)); i < epochs.size(); ++i)
    seconds += epochs[i].seconds;
  text += fmt::format("{} in {}, train loss {}", counted(last.epoch, "epoch"), duration(seconds),
                      measured(last.train_loss));
  if (last.valid) {
    text += ", valid loss " + measured(last.valid->loss);
    for (const MetricValue& metric : last.valid->metrics)
      text += ", " + shortened(metric.name, 24) + " " + measured(metric.value);
  }
  return text + stop;
}

}  // namespace thaw::detail
