// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cmath>
#include <cstddef>

#include <thaw/core/error.hpp>
#include <thaw/groups/freeze_policy.hpp>
#include <thaw/schedule/length.hpp>

namespace thaw {

/// The last group trains alone at first; after each period one more does, from the last to the first. n groups need
/// n - 1 periods to be all thawed. Source: ULMFiT, arXiv:1801.06146, whose period is one epoch.
struct GradualUnfreeze {
  Length every = Epochs{1};  ///< the period, of the stage

  [[nodiscard]] bool operator()(const GroupRef& group, const Progress& at) const {
    const double periods = std::floor(static_cast<double>(at.step) / steps_of(every, at));
    return static_cast<double>(group.index) < static_cast<double>(group.count) - 1 - periods;
  }

  void check(std::size_t groups) const {
    detail::check_length("GradualUnfreeze", every);
    if (groups == 1)
      throw ConfigError("GradualUnfreeze", "there is one layer group, so nothing would be frozen",
                        "cut the model into two or more groups, or take Unfrozen{}");
  }
};

}  // namespace thaw
