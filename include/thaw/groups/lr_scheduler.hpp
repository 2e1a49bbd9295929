// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/optim/optimizer.h>
#include <torch/optim/schedulers/lr_scheduler.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/groups/optimizer_options.hpp>
#include <thaw/schedule/schedule.hpp>

namespace thaw {

/// Any thaw schedule as LibTorch's scheduler, on any optimizer: in step k each optimizer group has the rate
///
///     peak * schedule(k).lr,   peak: the group's live rate when this was made
///
/// and, where the schedule has one, SGD's and RMSprop's momentum or Adam's and AdamW's beta1. Step 0's values are
/// written on construction, the next ones by each `step()`, to be called after the optimizer's; past the end the last
/// ones stay. Writes live options. Refers to the optimizer, which must outlive it.
///
///     thaw::ScheduledLR scheduler(optimizer, thaw::OneCycle{}, total);
///     for (...) { ...; optimizer.step(); scheduler.step(); }
class ScheduledLR final : public torch::optim::LRScheduler {
 public:
  /// Throws ConfigError for numbers of steps below 1, and for a schedule whose values make no sense.
  ScheduledLR(torch::optim::Optimizer& optimizer, AnySchedule schedule, std::int64_t total_steps,
              std::int64_t steps_per_epoch = 1)
      : LRScheduler(optimizer),
        optimizer_(&optimizer),
        schedule_(std::move(schedule)),
        total_steps_(total_steps),
        steps_per_epoch_(steps_per_epoch),
        peaks_(get_current_lrs()) {
    if (total_steps < 1 || steps_per_epoch < 1)
      throw ConfigError("ScheduledLR",
                        std::to_string(total_steps) + " steps, " + std::to_string(steps_per_epoch) + " per epoch",
                        "give numbers of optimizer steps, 1 or more");
    schedule_.check();
    for (std::int64_t i = 0; i < total_steps; ++i)
      detail::check_value(schedule_(at(i)), "ScheduledLR", " at step " + std::to_string(i));
    step();
  }

  /// Where the optimizer stands: the step whose values are in force.
  [[nodiscard]] Progress progress() const { return at(static_cast<std::int64_t>(step_count_) - 1); }

 private:
  [[nodiscard]] Progress at(std::int64_t step) const {
    return {.step = std::min(step, total_steps_ - 1), .steps = total_steps_, .steps_per_epoch = steps_per_epoch_};
  }

  std::vector<double> get_lrs() override {
    const ScheduleValue value = schedule_(at(static_cast<std::int64_t>(step_count_)));
    detail::check_value(value, "ScheduledLR");
    if (value.momentum)
      for (auto& group : optimizer_->param_groups()) write_momentum(group.options(), *value.momentum);
    std::vector<double> rates = peaks_;
    for (double& rate : rates) rate *= value.lr;
    return rates;
  }

  torch::optim::Optimizer* optimizer_;
  AnySchedule schedule_;
  std::int64_t total_steps_, steps_per_epoch_;
  std::vector<double> peaks_;  // per optimizer group
};

}  // namespace thaw
