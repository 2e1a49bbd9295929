// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <span>
#include <string>
#include <thaw/groups/freeze_policy.hpp>
#include <vector>

namespace thaw::test {

/// Per group of these names, whether the policy freezes it.
inline std::vector<bool> frozen(const AnyFreezePolicy& policy, std::span<const std::string> names,
                                const Progress& at = {}) {
  std::vector<bool> result;
  for (std::size_t i = 0; i < names.size(); ++i)
    result.push_back(policy({.index = i, .count = names.size(), .name = names[i]}, at));
  return result;
}

/// "g0", "g1", ...
inline std::vector<std::string> names(std::size_t count) {
  std::vector<std::string> result;
  for (std::size_t i = 0; i < count; ++i) result.push_back("g" + std::to_string(i));
  return result;
}

/// What every policy owes: the same answer each time, and through AnyFreezePolicy.
inline void check_policy(const FreezePolicy auto& policy, std::span<const std::string> groups) {
  const AnyFreezePolicy any = policy, copy = any;
  any.check(groups);
  for (const std::int64_t epoch : {1, 3, 50})
    for (const Progress at : steps(20, epoch)) {
      CAPTURE(at.step, epoch);
      const std::vector<bool> first = frozen(any, groups, at);
      CHECK(frozen(copy, groups, at) == first);
      for (std::size_t i = 0; i < groups.size(); ++i)
        CHECK(policy(GroupRef{.index = i, .count = groups.size(), .name = groups[i]}, at) == first[i]);
    }
}

}  // namespace thaw::test
