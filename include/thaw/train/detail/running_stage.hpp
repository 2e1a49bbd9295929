// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <c10/core/MemoryFormat.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include <thaw/data/source.hpp>
#include <thaw/groups/optimizer_groups.hpp>
#include <thaw/schedule/progress.hpp>
#include <thaw/train/callback.hpp>
#include <thaw/train/detail/task.hpp>
#include <thaw/train/frozen_split.hpp>
#include <thaw/train/plan.hpp>
#include <thaw/train/stage.hpp>

namespace thaw::detail {

[[nodiscard]] inline std::string name_of(const Stage& stage) {
  return "stage \"" + stage.name + "\"";
}

/// The model of a stage that runs its frozen part apart from the rest.
struct SplitModel {
  Task task;
  Unchanged unchanged;                 // of the frozen part
  std::vector<DataSource> train = {};  // what that part gives, one per pass that is kept; empty: it runs in each step
  DataSource valid = {};
  std::vector<at::MemoryFormat> formats = {};  // of those features

  [[nodiscard]] bool kept() const { return !train.empty(); }
};

/// A stage that runs. How far it has come, TrainingCursor says.
struct RunningStage {
  const Stage& stage;
  OptimizerGroups optimizer;
  PlannedStage plan;
  const std::vector<Callback>& callbacks;
  std::shared_ptr<const SplitModel> split = {};  // null: the stage runs the whole model
  bool split_tried = false;

  [[nodiscard]] Progress at(std::int64_t i) const {
    return {.step = std::min(i, plan.steps() - 1), .steps = plan.steps(), .steps_per_epoch = plan.steps_per_epoch};
  }
};

}  // namespace thaw::detail
