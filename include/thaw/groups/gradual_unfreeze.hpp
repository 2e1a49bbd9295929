// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include <thaw/core/error.hpp>
#include <thaw/groups/freeze_policy.hpp>

namespace thaw {

/// The last group trains alone at first; after each period one more does, from the last to the first. The period is
/// `every_epochs` or `every_steps`, of the stage: give exactly one. n groups need n - 1 periods to be all thawed.
/// Source: ULMFiT, arXiv:1801.06146, with a period of 1 epoch.
struct GradualUnfreeze {
  std::int64_t every_epochs = 0;
  std::int64_t every_steps = 0;

  [[nodiscard]] constexpr bool operator()(const GroupRef& group, const Progress& at) const {
    const std::int64_t periods = every_steps > 0 ? at.step / every_steps : at.epoch() / every_epochs;
    return static_cast<std::int64_t>(group.index) < static_cast<std::int64_t>(group.count) - 1 - periods;
  }

  void check(std::size_t groups) const {
    if (every_epochs < 0 || every_steps < 0 || (every_epochs > 0) == (every_steps > 0))
      throw ConfigError(
          "GradualUnfreeze",
          "every_epochs is " + std::to_string(every_epochs) + ", every_steps " + std::to_string(every_steps),
          "give a positive number to exactly one of them");
    if (groups == 1)
      throw ConfigError("GradualUnfreeze", "there is one layer group, so nothing would be frozen",
                        "cut the model into two or more groups, or take Unfrozen{}");
  }
};

}  // namespace thaw
