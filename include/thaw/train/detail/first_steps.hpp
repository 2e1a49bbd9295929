// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Steps of a plan that are only tried.

#include <algorithm>
#include <cstdint>
#include <exception>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/find/snapshot.hpp>
#include <thaw/train/detail/find_lr.hpp>
#include <thaw/train/detail/learner_parts.hpp>
#include <thaw/train/detail/running_stage.hpp>

#if THAW_DEFINES(train)

namespace thaw::detail {

/// While it lives, what is done is only tried: as it ends, all is as it was.
class Trial {
 public:
  explicit Trial(LearnerParts& parts)
      : groups_(parts.setup.groups),
        frozen_(groups_.frozen()),
        norm_(groups_.norm_rule()),
        before_(*groups_.module(), *parts.setup.optimizer),
        tried_(parts.data),
        finding_(parts.engine) {}
  ~Trial() {
    try {
      (void)groups_.freeze(frozen_, norm_);
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): the model was rebuilt; the next stage says so
    }
  }
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;

 private:
  LayerGroups& groups_;
  std::vector<bool> frozen_;
  NormRule norm_;
  Snapshot before_;  // put back last
  TrainingData::OnlyTried tried_;
  StepEngine::ForFinder finding_;
};

/// Two steps of a stage on `data`, and two from each step on at which it freezes or thaws something. Their losses; NaN
/// for one that was left out.
THAW_INLINE std::vector<double> first_steps(LearnerParts& parts, const Stage& stage, const PlannedStage& planned,
                                            const std::vector<Callback>& callbacks, const DataSource& data) {
  Setup& setup = parts.setup;
  const RunningStage run{.stage = stage,
                         .optimizer = OptimizerGroups(*setup.optimizer, setup.groups),
                         .plan = planned,
                         .callbacks = callbacks};
  parts.control.begin();
  if (stage.reset_optimizer) forget_state(*setup.optimizer);
  FinderSteps step(parts, data, planned.batches_per_step, callbacks, /*repeats=*/false);
  std::vector<double> losses;
  for (const FrozenFrom& from : planned.frozen)
    for (std::int64_t i = from.step; i < std::min(from.step + 2, planned.steps()) && !parts.control.stopped(); ++i) {
      forget_state(*setup.optimizer, setup.groups.freeze(from.frozen, planned.norm));
      (void)run.set_hyper(run.at(i), parts.control.lr_scale());
      losses.push_back(step());
    }
  return losses;
}

}  // namespace thaw::detail

#endif
