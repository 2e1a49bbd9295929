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

/// Which groups are frozen from a step on.
struct FrozenFrom {
  std::int64_t step;
  std::vector<bool> frozen;
};

/// All that a policy says over a stage: asked once for every step, and kept where it changes.
inline std::vector<FrozenFrom> frozen_over(const AnyFreezePolicy& policy, const LayerGroups& groups, std::int64_t steps,
                                           std::int64_t steps_per_epoch) {
  std::vector<FrozenFrom> changes;
  for (std::int64_t step = 0; step < steps; ++step) {
    std::vector<bool> frozen =
        frozen_groups(policy, groups, {.step = step, .steps = steps, .steps_per_epoch = steps_per_epoch});
    if (changes.empty() || changes.back().frozen != frozen)
      changes.push_back({.step = step, .frozen = std::move(frozen)});
  }
  return changes;
}

/// A stage that was found sound, with what follows from the stages before it.
struct PlannedStage {
  std::vector<double> peak_lr;
  std::vector<FrozenFrom> frozen;  ///< by rising steps, from 0
  NormRule norm;
  std::int64_t epochs, steps_per_epoch, batches_per_step;

  [[nodiscard]] std::int64_t steps() const { return epochs * steps_per_epoch; }
  [[nodiscard]] const std::vector<bool>& frozen_at(std::int64_t step) const {
    auto now = frozen.end() - 1;
    while (now->step > step) --now;
    return now->frozen;
  }
};

/// Throws ConfigError if at some step of the stage nothing would train.
inline void check_trains(const LayerGroups& groups, const PlannedStage& stage, const std::string& where) {
  for (const auto& [step, frozen] : stage.frozen) {
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
  for (std::size_t i = 0; i < groups.size(); ++i) {
    GroupPlan group{.name = groups[i].name, .parameters = groups[i].numel(), .first_step = -1};
    for (const auto& [step, frozen] : stage.frozen) {
      std::int64_t trained = 0;
      for (const GroupParameter& parameter : groups[i].parameters)
        if (parameter.trains(frozen[i], stage.norm)) trained += parameter.tensor.numel();
      group.trained = std::max(group.trained, trained);
      if (trained > 0 && group.first_step < 0) group.first_step = step;
    }
    group.lr = group.trained > 0 ? stage.peak_lr[i] : 0;
    plan.push_back(group);
  }
  return plan;
}

inline StageDescription describe(const LayerGroups& groups, const Stage& stage, const PlannedStage& planned) {
  return {.name = stage.name,
          .epochs = planned.epochs,
          .steps_per_epoch = planned.steps_per_epoch,
          .groups = group_plan(groups, planned),
          .norm = planned.norm,
          .notes = norm_notes(groups, planned.frozen.back().frozen, planned.norm, planned.steps())};
}

}  // namespace detail

}  // namespace thaw
