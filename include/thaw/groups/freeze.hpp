// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/groups/freeze_policy.hpp>
#include <thaw/groups/layer_groups.hpp>

namespace thaw {

/// The name of every layer group.
[[nodiscard]] std::vector<std::string> names_of(const LayerGroups& groups);

namespace detail {

/// What a policy that was checked says of each group.
[[nodiscard]] std::vector<bool> ask(const AnyFreezePolicy& policy, const LayerGroups& groups, const Progress& at);

}  // namespace detail

/// Per layer group, whether the policy freezes it at this moment; an empty policy leaves it as it is. Changes nothing.
/// Throws ConfigError when the policy does not fit the groups.
[[nodiscard]] std::vector<bool> frozen_groups(const AnyFreezePolicy& policy, const LayerGroups& groups,
                                              const Progress& at = {});

/// Freezes and thaws as the policy says: `requires_grad` set, gradients of what is frozen undefined, norm layers in
/// the mode that the rule gives them, now and at every later `groups.train()`; what `norm` does not say of the rule
/// stays as it was. Leaves the module in training mode. Returns the parameters that train now and did not before: their
/// optimizer state is stale (see forget_state). Throws ConfigError when the policy does not fit the groups.
std::vector<at::Tensor> apply(const AnyFreezePolicy& policy, LayerGroups& groups, NormChange norm = {},
                              const Progress& at = {});

}  // namespace thaw

#if THAW_DEFINES(groups)

namespace thaw {

THAW_INLINE std::vector<std::string> names_of(const LayerGroups& groups) {
  std::vector<std::string> names;
  for (const LayerGroup& group : groups) names.push_back(group.name);
  return names;
}

}  // namespace thaw

namespace thaw::detail {

THAW_INLINE std::vector<bool> ask(const AnyFreezePolicy& policy, const LayerGroups& groups, const Progress& at) {
  std::vector<bool> frozen(groups.size());
  for (std::size_t i = 0; i < groups.size(); ++i)
    frozen[i] = policy({.index = i, .count = groups.size(), .name = groups[i].name}, at);
  return frozen;
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE std::vector<bool> frozen_groups(const AnyFreezePolicy& policy, const LayerGroups& groups,
                                            const Progress& at) {
  if (!policy) return groups.frozen();
  policy.check(names_of(groups));
  return detail::ask(policy, groups, at);
}

THAW_INLINE std::vector<at::Tensor> apply(const AnyFreezePolicy& policy, LayerGroups& groups, NormChange norm,
                                          const Progress& at) {
  std::vector<at::Tensor> thawed = groups.freeze(frozen_groups(policy, groups, at), norm.over(groups.norm_rule()));
  groups.train();
  return thawed;
}

}  // namespace thaw

#endif
