// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <thaw/core/compiled.hpp>
#include <thaw/groups/norm_rule.hpp>
#include <thaw/report/detail/numbers.hpp>
#include <thaw/report/table.hpp>
#include <thaw/train/plan.hpp>

namespace thaw {

namespace detail {

/// "frozen", "trains", or "from epoch 2" (from 1), "from step 100" where that is no epoch's first; "norm layers only",
/// or "norm layers, all from epoch 2".
[[nodiscard]] std::string when_trained(const GroupPlan& group, std::int64_t steps_per_epoch);

[[nodiscard]] std::string norm_rule_text(NormRule norm);

/// "0.85 to 0.95", "0.9", or "as it is".
[[nodiscard]] std::string span_text(const std::optional<HyperSpan>& span);

}  // namespace detail

/// One row per stage and group: what trains, from when, at which rates, for how many steps. The norm rule (of frozen /
/// of thawed groups), the momentum and, where a stage sets one, the weight decay stand in the stage's first row.
[[nodiscard]] Table plan_table(const std::vector<StageDescription>& plan);

/// The table of a plan, then a line for each note of each stage. Ends with a line break.
///
///     fmt::print("{}", learner.describe(plan));
[[nodiscard]] std::string to_text(const std::vector<StageDescription>& plan);

}  // namespace thaw

template <>
struct fmt::formatter<std::vector<thaw::StageDescription>> {
  constexpr auto parse(format_parse_context& context) { return context.begin(); }
  template <class Context>
  auto format(const std::vector<thaw::StageDescription>& plan, Context& context) const {
    return fmt::format_to(context.out(), "{}", thaw::to_text(plan));
  }
};

#if THAW_DEFINES(report)

namespace thaw::detail {

THAW_INLINE std::string when_trained(const GroupPlan& group, std::int64_t steps_per_epoch) {
  if (group.trained == 0) return "frozen";
  const auto from = [&](std::int64_t step) {
    return step % steps_per_epoch == 0 ? fmt::format("from epoch {}", step / steps_per_epoch + 1)
                                       : fmt::format("from step {}", step + 1);
  };
  if (group.thawed_step < 0) return "norm layers only";
  if (group.thawed_step > group.first_step) return "norm layers, all " + from(group.thawed_step);
  return group.first_step == 0 ? "trains" : from(group.first_step);
}

THAW_INLINE std::string norm_rule_text(NormRule norm) {
  const auto name = [](Norm n) { return n == Norm::hold ? "hold" : n == Norm::track ? "track" : "train"; };
  return fmt::format("{} / {}", name(norm.frozen), name(norm.thawed));
}

THAW_INLINE std::string span_text(const std::optional<HyperSpan>& span) {
  if (!span) return "as it is";
  if (span->lowest == span->highest) return fmt::format("{:.3g}", span->lowest);
  return fmt::format("{:.3g} to {:.3g}", span->lowest, span->highest);
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE Table plan_table(const std::vector<StageDescription>& plan) {
  Table table{.headers = {"stage", "epochs x steps", "norm", "momentum", "weight decay", "group", "", "trained", "of",
                          "first rate", "highest", "last"}};
  for (const StageDescription& stage : plan)
    for (std::size_t i = 0; i < stage.groups.size(); ++i) {
      const GroupPlan& group = stage.groups[i];
      const auto once = [&](auto text) { return i == 0 ? text() : std::string{}; };
      const auto rate = [&](double lr) { return group.trained == 0 ? "-" : detail::scientific(lr, 1); };
      table.add(once([&] { return stage.name; }), once([&] {
                  return fmt::format("{} x {}", stage.epochs, detail::with_separators(stage.steps_per_epoch));
                }),
                once([&] { return detail::norm_rule_text(stage.norm); }),
                once([&] { return detail::span_text(stage.momentum); }),
                once([&] { return detail::span_text(stage.weight_decay); }), group.name,
                detail::when_trained(group, stage.steps_per_epoch), detail::with_separators(group.trained),
                detail::with_separators(group.parameters), rate(stage.rates[i].first), rate(stage.rates[i].highest),
                rate(stage.rates[i].last));
    }
  if (std::ranges::none_of(plan, [](const StageDescription& stage) { return stage.weight_decay.has_value(); })) {
    table.headers.erase(table.headers.begin() + 4);
    for (auto& row : table.rows) row.erase(row.begin() + 4);
  }
  return table;
}

THAW_INLINE std::string to_text(const std::vector<StageDescription>& plan) {
  std::string text = to_text(plan_table(plan));
  for (const StageDescription& stage : plan)
    for (const std::string& note : stage.notes) text += fmt::format("note, stage {}: {}\n", stage.name, note);
  return text;
}

}  // namespace thaw

#endif
