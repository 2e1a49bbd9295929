#pragma once

#include <span>
#include <vector>

#include <thaw/groups/layer_groups.hpp>
#include <thaw/train/events.hpp>

namespace thaw::detail {

/// What a stage would train, and how fast, were these groups frozen.
inline std::vector<GroupPlan> group_plan(const LayerGroups& groups, const std::vector<bool>& frozen, NormRule norm,
                                         std::span<const double> peak_lr) {
  std::vector<GroupPlan> plan;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    GroupPlan group{.name = groups[i].name, .parameters = groups[i].numel()};
    for (const GroupParameter& parameter : groups[i].parameters)
      if (parameter.trains(frozen[i], norm)) group.trained += parameter.tensor.numel();
    group.lr = group.trained > 0 ? peak_lr[i] : 0;
    plan.push_back(group);
  }
  return plan;
}

}  // namespace thaw::detail
