// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/groups/freeze.hpp>
#include <thaw/groups/norm_rule.hpp>
#include <thaw/schedule/progress.hpp>
#include <thaw/schedule/schedule.hpp>
#include <thaw/train/detail/norm_notes.hpp>
#include <thaw/train/events.hpp>
#include <thaw/train/stage.hpp>

namespace thaw {

/// Absolute rates that a layer group will see over the steps in which it trains.
struct RateSpan {
  double first = 0, highest = 0, last = 0;
};

/// Least and greatest of what a schedule will set over a stage: momentum (SGD's, or Adam's beta1), or weight decay.
struct HyperSpan {
  double lowest = 0, highest = 0;
};

/// Which groups are frozen from a step on.
struct FrozenFrom {
  std::int64_t step = 0;
  std::vector<bool> frozen = {};
};

/// What one stage of a plan will do.
struct StageDescription {
  std::string name = {};
  std::int64_t epochs = 0;
  std::int64_t steps_per_epoch = 0;  ///< optimizer steps
  std::vector<GroupPlan> groups = {};
  std::vector<RateSpan> rates = {};           ///< per group: what the schedule makes of its peak rate
  std::optional<HyperSpan> momentum = {};     ///< none: the schedule leaves the optimizer's alone
  NormRule norm = {};
  std::vector<std::string> notes = {};  ///< what looks wrong, and what to do instead; nothing here stops a run
  AnySchedule schedule = Constant{};    ///< of multipliers of each group's peak rate
  std::vector<FrozenFrom> frozen = {};  ///< groups of which nothing trains, by rising steps of the stage, from 0
  std::optional<HyperSpan> weight_decay = {};  ///< none: the optimizer's own
  std::vector<FrozenFrom> frozen_but_norms = {};  ///< at the same steps: groups of which only norm layers train

  [[nodiscard]] std::int64_t steps() const { return epochs * steps_per_epoch; }
};

namespace detail {

/// All that a policy says over a stage: asked once for every step, and kept where it changes.
std::vector<FrozenFrom> frozen_over(const AnyFreezePolicy& policy, const LayerGroups& groups, std::int64_t steps,
                                    std::int64_t steps_per_epoch);

/// A stage that was found sound, with what follows from the stages before it.
struct PlannedStage {
  std::vector<double> peak_lr;
  std::vector<FrozenFrom> frozen;  ///< by rising steps, from 0
  NormRule norm;
  std::int64_t epochs, steps_per_epoch, batches_per_step;

  [[nodiscard]] std::int64_t steps() const { return epochs * steps_per_epoch; }
  [[nodiscard]] const std::vector<bool>& frozen_at(std::int64_t step) const;
};

/// The same of groups of which nothing trains: one that is frozen may still train its norm layers.
std::vector<FrozenFrom> wholly_frozen(const LayerGroups& groups, const PlannedStage& stage);

/// Throws ConfigError if at some step of the stage nothing would train.
void check_trains(const LayerGroups& groups, const PlannedStage& stage, const std::string& where);

/// Per group, what gets gradients at some time in the stage, from which step on, and how fast.
std::vector<GroupPlan> group_plan(const LayerGroups& groups, const PlannedStage& stage);

/// What a schedule says at each step of a stage.
std::vector<ScheduleValue> schedule_over(const AnySchedule& schedule, const PlannedStage& stage);

/// Throws ConfigError for schedules that give, at some step, what no optimizer can take.
void check_schedules(const Stage& stage, const PlannedStage& planned);

std::vector<RateSpan> rate_spans(const std::vector<ScheduleValue>& schedule, const std::vector<GroupPlan>& groups);

/// Of the values that are there.
std::optional<HyperSpan> span_of(const std::vector<std::optional<double>>& values);

StageDescription describe(const LayerGroups& groups, const Stage& stage, const PlannedStage& planned);

std::vector<StageDescription> describe(const LayerGroups& groups, std::span<const Stage> plan,
                                       const std::vector<PlannedStage>& planned);

}  // namespace detail

}  // namespace thaw

#if THAW_DEFINES(train)

namespace thaw::detail {

THAW_INLINE std::vector<FrozenFrom> frozen_over(const AnyFreezePolicy& policy, const LayerGroups& groups,
                                                std::int64_t steps, std::int64_t steps_per_epoch) {
  std::vector<FrozenFrom> changes;
  for (std::int64_t step = 0; step < steps; ++step) {
    std::vector<bool> frozen = ask(policy, groups, {.step = step, .steps = steps, .steps_per_epoch = steps_per_epoch});
    if (changes.empty() || changes.back().frozen != frozen)
      changes.push_back({.step = step, .frozen = std::move(frozen)});
  }
  return changes;
}

THAW_INLINE const std::vector<bool>& PlannedStage::frozen_at(std::int64_t step) const {
  auto now = frozen.end() - 1;
  while (now->step > step) --now;
  return now->frozen;
}

THAW_INLINE std::vector<FrozenFrom> wholly_frozen(const LayerGroups& groups, const PlannedStage& stage) {
  std::vector<FrozenFrom> changes = stage.frozen;
  for (FrozenFrom& change : changes)
    for (std::size_t i = 0; i < groups.size(); ++i)
      change.frozen[i] = std::ranges::none_of(groups[i].parameters, [&](const GroupParameter& parameter) {
        return parameter.trains(change.frozen[i], stage.norm);
      });
  return changes;
}

THAW_INLINE void check_trains(const LayerGroups& groups, const PlannedStage& stage, const std::string& where) {
  for (const FrozenFrom& change : wholly_frozen(groups, stage))
    if (std::ranges::find(change.frozen, false) == change.frozen.end())
      throw ConfigError(where,
                        "every parameter is frozen" +
                            (change.step == 0 ? "" : " at step " + std::to_string(change.step)) +
                            ", so there is nothing to train",
                        "thaw at least the last group");
}

THAW_INLINE std::vector<GroupPlan> group_plan(const LayerGroups& groups, const PlannedStage& stage) {
  std::vector<GroupPlan> plan;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    GroupPlan group{.name = groups[i].name, .parameters = groups[i].numel(), .first_step = -1, .thawed_step = -1};
    for (const auto& [step, frozen] : stage.frozen) {
      std::int64_t trained = 0;
      for (const GroupParameter& parameter : groups[i].parameters)
        if (parameter.trains(frozen[i], stage.norm)) trained += parameter.tensor.numel();
      group.trained = std::max(group.trained, trained);
      if (trained > 0 && group.first_step < 0) group.first_step = step;
      if (!frozen[i] && group.thawed_step < 0) group.thawed_step = step;
    }
    group.lr = group.trained > 0 ? stage.peak_lr[i] : 0;
    plan.push_back(group);
  }
  return plan;
}

THAW_INLINE std::vector<ScheduleValue> schedule_over(const AnySchedule& schedule, const PlannedStage& stage) {
  std::vector<ScheduleValue> values;
  for (const Progress& at : steps(stage.steps(), stage.steps_per_epoch)) values.push_back(schedule(at));
  return values;
}

THAW_INLINE void check_schedules(const Stage& stage, const PlannedStage& planned) {
  for (const Progress& at : steps(planned.steps(), planned.steps_per_epoch)) {
    const std::string when = " at step " + std::to_string(at.step) + " of " + std::to_string(at.steps);
    check_value(stage.schedule(at), "stage \"" + stage.name + "\"", when);
    if (const double decay = stage.weight_decay ? (*stage.weight_decay)(at) : 0; !(std::isfinite(decay) && decay >= 0))
      throw ConfigError("stage \"" + stage.name + "\"", "a weight decay of " + number(decay) + when,
                        "give a finite number, 0 or more");
  }
}

THAW_INLINE std::vector<RateSpan> rate_spans(const std::vector<ScheduleValue>& schedule,
                                             const std::vector<GroupPlan>& groups) {
  std::vector<double> highest_from(schedule.size());
  double highest = -std::numeric_limits<double>::infinity();
  for (std::size_t i = schedule.size(); i-- > 0;) highest_from[i] = highest = std::max(highest, schedule[i].lr);
  std::vector<RateSpan> spans;
  for (const GroupPlan& group : groups) {
    const auto from = static_cast<std::size_t>(std::max<std::int64_t>(group.first_step, 0));
    spans.push_back({.first = group.lr * schedule[from].lr,
                     .highest = group.lr * highest_from[from],
                     .last = group.lr * schedule.back().lr});
  }
  return spans;
}

THAW_INLINE std::optional<HyperSpan> span_of(const std::vector<std::optional<double>>& values) {
  std::optional<HyperSpan> span;
  for (const std::optional<double>& value : values) {
    if (!value) continue;
    if (!span) span = {.lowest = *value, .highest = *value};
    span->lowest = std::min(span->lowest, *value);
    span->highest = std::max(span->highest, *value);
  }
  return span;
}

THAW_INLINE StageDescription describe(const LayerGroups& groups, const Stage& stage, const PlannedStage& planned) {
  const std::vector<ScheduleValue> schedule = schedule_over(stage.schedule, planned);
  const std::vector<GroupPlan> plans = group_plan(groups, planned);
  std::vector<std::string> notes = norm_notes(groups, planned.frozen.back().frozen, planned.norm, planned.steps());
  std::vector<RateSpan> rates = rate_spans(schedule, plans);
  if (std::ranges::all_of(rates, [](const RateSpan& span) { return span.highest == 0; }))
    notes.emplace_back("every group has a rate of 0 at every step, so nothing moves");
  std::vector<std::optional<double>> momenta, decays;
  for (const ScheduleValue& value : schedule) momenta.push_back(value.momentum);
  if (stage.weight_decay)
    for (const Progress& at : steps(planned.steps(), planned.steps_per_epoch))
      decays.emplace_back((*stage.weight_decay)(at));
  const std::vector<FrozenFrom> frozen = wholly_frozen(groups, planned);
  std::vector<FrozenFrom> but_norms = planned.frozen;
  for (std::size_t i = 0; i < but_norms.size(); ++i)
    for (std::size_t group = 0; group < groups.size(); ++group)
      if (frozen[i].frozen[group]) but_norms[i].frozen[group] = false;
  return {.name = stage.name,
          .epochs = planned.epochs,
          .steps_per_epoch = planned.steps_per_epoch,
          .groups = plans,
          .rates = std::move(rates),
          .momentum = span_of(momenta),
          .norm = planned.norm,
          .notes = std::move(notes),
          .schedule = stage.schedule,
          .frozen = frozen,
          .weight_decay = span_of(decays),
          .frozen_but_norms = std::move(but_norms)};
}

THAW_INLINE std::vector<StageDescription> describe(const LayerGroups& groups, std::span<const Stage> plan,
                                                   const std::vector<PlannedStage>& planned) {
  std::vector<StageDescription> stages;
  stages.reserve(plan.size());
  for (std::size_t i = 0; i < plan.size(); ++i) stages.push_back(describe(groups, plan[i], planned[i]));
  return stages;
}

}  // namespace thaw::detail

#endif
