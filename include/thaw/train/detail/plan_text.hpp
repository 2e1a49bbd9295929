// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <thaw/core/names.hpp>
#include <thaw/train/plan.hpp>

// A plan in words, by which a resumed run is held to the one that was begun.
namespace thaw::detail {

[[nodiscard]] inline std::string exact(double value) {
  return fmt::format("{:.17g}", value);  // not by the C library, whose numbers change with the locale
}

/// What of a stage decides its result, one thing per line: "stage 1, \"head\": 3 epochs". A schedule is told by its
/// values at 65 places.
inline void add_lines(std::vector<std::string>& lines, std::size_t number, const LayerGroups& groups,
                      const Stage& stage, const PlannedStage& planned) {
  const auto add = [&](const std::string& what) {
    lines.push_back("stage " + std::to_string(number) + ", \"" + stage.name + "\": " + what);
  };
  add(std::to_string(planned.epochs) + " epochs");
  add(std::to_string(planned.steps_per_epoch) + " steps per epoch");
  add(std::to_string(planned.batches_per_step) + " batches per step");
  for (std::size_t i = 0; i < groups.size(); ++i)
    add("peak rate of group \"" + groups[i].name + "\" " + exact(planned.peak_lr[i]));
  for (const FrozenFrom& change : planned.frozen) {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < groups.size(); ++i)
      if (change.frozen[i]) names.push_back(groups[i].name);
    std::ranges::sort(names);
    add("frozen from step " + std::to_string(change.step) +
        " on: " + (names.empty() ? "nothing" : join_names(names, names.size())));
  }
  add("norm rule " + std::to_string(static_cast<int>(planned.norm.frozen)) + ", " +
      std::to_string(static_cast<int>(planned.norm.thawed)));
  if (stage.cache) add("a cache of " + std::to_string(stage.cache.passes) + " passes");
  if (stage.max_batches) add("at most " + std::to_string(*stage.max_batches) + " batches per epoch");
  add(std::string("optimizer ") + (stage.reset_optimizer ? "reset" : "kept"));
  std::string values, decays;
  std::int64_t last = -1;
  for (std::int64_t i = 0; i <= 64; ++i) {
    const std::int64_t step = (planned.steps() - 1) * i / 64;
    if (step == last) continue;
    const Progress at{.step = last = step, .steps = planned.steps(), .steps_per_epoch = planned.steps_per_epoch};
    const ScheduleValue value = stage.schedule(at);
    values.append(" ").append(exact(value.lr));  // g++ 12 takes the sums of strings for overflows at -O3
    if (value.momentum) values.append("/").append(exact(*value.momentum));
    if (stage.weight_decay) decays.append(" ").append(exact((*stage.weight_decay)(at)));
  }
  if (stage.weight_decay) add("weight decay" + decays);
  add("schedule" + values);
}

[[nodiscard]] inline std::vector<std::string> plan_text(const LayerGroups& groups, std::span<const Stage> plan,
                                                        const std::vector<PlannedStage>& planned) {
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < plan.size(); ++i) add_lines(lines, i + 1, groups, plan[i], planned[i]);
  return lines;
}

/// "head, 3 epochs; all, 5 epochs".
[[nodiscard]] inline std::string in_short(std::span<const Stage> plan) {
  std::string text;
  for (const Stage& stage : plan)
    text += (text.empty() ? "" : "; ") + stage.name + ", " + std::to_string(stage.epochs) + " epochs";
  return text;
}

/// What one list has and the other lacks, for people; empty where they are the same.
[[nodiscard]] inline std::string differences(const std::vector<std::string>& then,
                                             const std::vector<std::string>& now) {
  const auto only = [](const std::vector<std::string>& these, const std::vector<std::string>& those) {
    std::vector<std::string> result;
    for (const std::string& each : these)
      if (std::ranges::find(those, each) == those.end())
        result.push_back(each.size() > 160 ? each.substr(0, 160) + "..." : each);
    return result;
  };
  const std::vector<std::string> gone = only(then, now), come = only(now, then);
  std::string text;
  if (!gone.empty()) text += "the checkpoint has " + join_names(gone);
  if (!come.empty()) text += (gone.empty() ? "" : "; ") + std::string("this run has ") + join_names(come);
  return text;
}

}  // namespace thaw::detail
