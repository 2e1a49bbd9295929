#pragma once

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

/// "stage head: 3 epochs of 47 steps".
[[nodiscard]] inline std::string stage_title(const StageBegin& event) {
  const auto count = [](std::int64_t n, std::string_view thing) {
    return fmt::format("{} {}{}", n, thing, n == 1 ? "" : "s");
  };
  return fmt::format("stage {}: {} of {}", shortened(event.stage, 60), count(event.epochs, "epoch"),
                     count(event.steps_per_epoch, "step"));
}

[[nodiscard]] inline Table group_table(const std::vector<GroupPlan>& groups) {
  Table table{.headers = {"group", "parameters", "trained", "rate"}};
  for (const GroupPlan& group : groups)
    table.add(shortened(group.name, 40), with_separators(group.parameters), with_separators(group.trained),
              group.trained == 0
                  ? "frozen"
                  : scientific(group.lr, 1) +
                        (group.first_step == 0 ? "" : fmt::format(", from step {}", group.first_step + 1)));
  return table;
}

}  // namespace thaw::detail
