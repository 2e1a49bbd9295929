// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <c10/core/MemoryFormat.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
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

  /// Writes what the stage says for a step into the optimizer's options, its rates times `lr_scale`.
  [[nodiscard]] ScheduleValue set_hyper(const Progress& now, double lr_scale) const {
    ScheduleValue value = stage.schedule(now);
    value.lr *= lr_scale;
    optimizer.set(value, plan.peak_lr);
    for (std::size_t i = 0; i < optimizer.size() && stage.weight_decay; ++i)
      optimizer.set_weight_decay(i, (*stage.weight_decay)(now));
    return value;
  }
};

/// Puts each optimizer group's weight decay back, however a stage ends.
class OwnWeightDecays {
 public:
  explicit OwnWeightDecays(torch::optim::Optimizer& optimizer) : optimizer_(optimizer) {
    for (const auto& group : optimizer.param_groups()) decays_.push_back(read_weight_decay(group.options()));
  }
  ~OwnWeightDecays() {
    for (std::size_t i = 0; i < decays_.size(); ++i)
      if (const std::optional<double>& own = decays_[i])
        write_weight_decay(optimizer_.param_groups()[i].options(), *own);
  }
  OwnWeightDecays(const OwnWeightDecays&) = delete;
  OwnWeightDecays& operator=(const OwnWeightDecays&) = delete;

 private:
  torch::optim::Optimizer& optimizer_;
  std::vector<std::optional<double>> decays_;
};

}  // namespace thaw::detail
