// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <thaw/data/batch.hpp>
#include <thaw/find/lr_curve.hpp>
#include <thaw/train/history.hpp>
#include <thaw/train/run_state.hpp>

namespace thaw {

class Learner;
struct StageDescription;

/// One layer group as a stage is about to train it.
struct GroupPlan {
  std::string name = {};
  std::int64_t parameters = 0;  ///< elements, not tensors
  std::int64_t trained = 0;     ///< elements that get gradients in this stage, at some time
  double lr = 0;                ///< absolute peak rate, as the stage gives it; 0 when frozen all along
  std::int64_t first_step = 0;  ///< the optimizer step from which on it trains; -1 when frozen all along
  std::int64_t thawed_step = 0;  ///< from which on more than its norm layers do; -1: never
};

// What callbacks are told, in the order in which it happens. Every event has the Learner, which a callback may read and
// change: its groups, its optimizer, `stop(reason)`, `scale_lr(factor)`.

/// While a stage is planned, before anything is checked or changed; also when LRFinder plans its sweep.
struct StagePlanned {
  Learner& learner;
  std::int64_t& batches_per_step;  ///< 1; more of them accumulate gradients before each optimizer step
  /// Callbacks that put other weights into the model as a stage ends name themselves here. Two of them are refused: the
  /// second would undo what the first did.
  std::vector<std::string>& sets_weights;
  std::vector<std::string>& averages;  ///< likewise those that swap weights for an average, or validate within an epoch
  std::vector<std::string>& mixes;     ///< likewise those that mix the samples of a batch and replace its loss
};

/// After a plan was found sound, before its first stage; not in a fit that a resumed run goes on with.
/// <thaw/train/plan.hpp> has what it is told.
struct FitBegin {
  Learner& learner;
  const std::vector<StageDescription>& plan;
};

/// Before a stage's first step, after its plan was validated.
struct StageBegin {
  Learner& learner;
  const std::string& stage;
  std::int64_t epochs;
  std::int64_t steps_per_epoch;  ///< optimizer steps
  const std::vector<GroupPlan>& groups;
};

/// Before an epoch's first batch, the module in training mode.
struct EpochBegin {
  Learner& learner;
  const std::string& stage;
  std::int64_t epoch;  ///< 1 is the stage's first
  std::int64_t epochs;
};

/// A batch is on the model's device and about to go in; it may be changed. LRFinder's steps have it too.
struct BatchReady {
  Learner& learner;
  Batch& batch;
};

/// The loss of a batch is computed, and about to be differentiated; it may be replaced. After `stop`, this batch is not
/// trained on. LRFinder's steps have it too.
struct LossReady {
  Learner& learner;
  const Batch& batch;
  const Fields& output;
  at::Tensor& loss;  ///< scalar, the mean over the batch's samples
  const std::function<at::Tensor(const Fields& output, const Fields& target)>& criterion;  ///< the Learner's loss
};

/// The gradients of a whole optimizer step are there: they may be changed. LRFinder's steps have it too.
struct GradientsReady {
  Learner& learner;
};

/// After each optimizer step. `loss` is still on its device: reading it (`loss.item<double>()`) waits for the device.
struct StepEnd {
  Learner& learner;
  const std::string& stage;
  std::int64_t epoch;  ///< 1 is the stage's first
  std::int64_t epochs;
  std::int64_t step;           ///< 1 is the stage's first
  std::int64_t steps;          ///< of the whole stage
  std::span<const double> lr;  ///< per layer group, as used in this step
  const at::Tensor& loss;      ///< scalar, detached; the mean over the step's samples
  std::optional<double> momentum = {};  ///< as used in this step; none where the optimizer has none
};

/// After an epoch's last step, before validation.
struct EpochTrained {
  Learner& learner;
  std::int64_t epoch;
  std::int64_t epochs;
};

/// After each epoch, validation included.
struct EpochEnd {
  Learner& learner;
  const EpochRecord& record;
};

/// After a stage's last step.
struct StageEnd {
  Learner& learner;
  const StageRecord& record;
  const History& history;
  std::string_view stop;  ///< why it ended before its last step; empty where nothing stopped it
};

/// However a call of fit ends, also by an exception: for what must be put back. What a handler throws is lost.
struct FitEnd {
  Learner& learner;
};

/// After the LR finder's sweep; not for a curve that a resumed run had before.
struct LRFindEnd {
  Learner& learner;
  const LRCurve& curve;
};

/// After all callbacks have heard of a step's, an epoch's or a stage's end: the run can be resumed from here, and
/// `learner.run_state()` is what that takes.
struct SafePoint {
  Learner& learner;
  enum class After { step, epoch, stage } after;
};

/// What a callback must remember passes by: into a checkpoint when one is written, out of it when a run is resumed, in
/// the place of the stage's and the epoch's begin that it heard of before. See StateVisitor.
struct RunStateVisit {
  Learner& learner;
  const StateVisitor& state;
  bool fitting;  ///< within a fit; false between two, for the Learner's own callbacks
};

}  // namespace thaw
