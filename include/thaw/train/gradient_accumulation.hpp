// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <string>

#include <thaw/core/error.hpp>
#include <thaw/train/events.hpp>

namespace thaw {

/// One optimizer step for so many batches: its gradient is that of the mean over all their samples, as of one batch as
/// large as all of them (but batch norm sees each alone). Schedules, steps and the LR finder count optimizer steps; an
/// epoch's last step takes the batches that are left.
struct GradientAccumulation {
  std::int64_t batches = 1;

  void on_stage_planned(const StagePlanned& event) const {
    if (batches < 1)
      throw ConfigError("GradientAccumulation", std::to_string(batches) + " batches per step", "take at least 1");
    event.batches_per_step *= batches;
  }
};

}  // namespace thaw
