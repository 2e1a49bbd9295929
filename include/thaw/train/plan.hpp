#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <thaw/groups/freeze.hpp>
#include <thaw/groups/norm_rule.hpp>
#include <thaw/train/detail/norm_notes.hpp>
#include <thaw/train/events.hpp>
#include <thaw/train/stage.hpp>

namespace thaw {

/// What one stage of a plan will do.
struct StageDescription {
  std::string name = {};
  std::int64_t epochs = 0;
  std::int64_t steps_per_epoch = 0;  ///< optimizer steps
  std::vector<GroupPlan> groups = {};
  NormRule norm = {};
  std::vector<std::string> notes = {};  ///< what looks wrong, and what to do instead; nothing here stops a run

  [[nodiscard]] std::int64_t steps() const { return epochs * steps_per_epoch; }
};

namespace detail {

/// A stage that was found sound, with what follows from the stages before it.
struct PlannedStage {
  std::vector<double> peak_lr;
  AnyFreezePolicy freeze;  ///< as the stage says; empty: `frozen` all along
  std::vector<bool> frozen;
  NormRule norm;
  std::int64_t epochs, steps_per_epoch, batches_per_step;

  [[nodiscard]] std::int64_t steps() const { return epochs * steps_per_epoch; }
  [[nodiscard]] std::vector<bool> frozen_at(const LayerGroups& groups, std::int64_t step) const {
    if (!freeze) return frozen;
    return frozen_groups(freeze, groups, {.step = step, .steps = steps(), .steps_per_epoch = steps_per_epoch});
  }
};

/// Throws ConfigError if at some step of the stage nothing would train.
inline void check_trains(const LayerGroups& groups, const PlannedStage& stage, const std::string& where) {
  for (std::int64_t step = 0; step < (stage.freeze ? stage.steps() : 1); ++step) {
    const std::vector<bool> frozen = stage.frozen_at(groups, step);
    bool trains = false;
    for (std::size_t i = 0; i < groups.size() && !trains; ++i)
      trains = std::ranges::any_of(groups[i].parameters,
                                   [&](const GroupParameter& p) { return p.trains(frozen[i], stage.norm); });
    if (!trains)
      throw ConfigError(where,
                        "every parameter is frozen" + (step == 0 ? "" : " at step " + std::to_string(step)) +
                            ", so there is nothing to train",
                        "thaw at least the last group");
  }
}

/// Per group, what gets gradients at some time in the stage, from which step on, and how fast.
inline std::vector<GroupPlan> group_plan(const LayerGroups& groups, const PlannedStage& stage) {
  std::vector<GroupPlan> plan;
  for (std::size_t i = 0; i < groups.size(); ++i)
    plan.push_back({.name = groups[i].name, .parameters = groups[i].numel(), .first_step = -1});
  std::vector<bool> before;
  for (std::int64_t step = 0; step < stage.steps(); ++step) {
    std::vector<bool> frozen = stage.frozen_at(groups, step);
    if (frozen != before)
      for (std::size_t i = 0; i < groups.size(); ++i) {
        std::int64_t trained = 0;
        for (const GroupParameter& parameter : groups[i].parameters)
          if (parameter.trains(frozen[i], stage.norm)) trained += parameter.tensor.numel();
        plan[i].trained = std::max(plan[i].trained, trained);
        if (trained > 0 && plan[i].first_step < 0) plan[i].first_step = step;
      }
    before = std::move(frozen);
    if (!stage.freeze) break;
  }
  for (std::size_t i = 0; i < groups.size(); ++i) plan[i].lr = plan[i].trained > 0 ? stage.peak_lr[i] : 0;
  return plan;
}

inline StageDescription describe(const LayerGroups& groups, const Stage& stage, const PlannedStage& planned) {
  return {.name = stage.name,
          .epochs = planned.epochs,
          .steps_per_epoch = planned.steps_per_epoch,
          .groups = group_plan(groups, planned),
          .norm = planned.norm,
          .notes = norm_notes(groups, planned.frozen_at(groups, planned.steps() - 1), planned.norm, planned.steps())};
}

}  // namespace detail

}  // namespace thaw
