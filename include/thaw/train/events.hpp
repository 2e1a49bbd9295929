#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <thaw/train/history.hpp>

namespace thaw {

/// One layer group as a stage is about to train it.
struct GroupPlan {
  std::string name = {};
  std::int64_t parameters = 0;  ///< elements, not tensors
  std::int64_t trained = 0;     ///< elements that get gradients in this stage
  double lr = 0;                ///< absolute peak rate; 0 when frozen
};

/// Before a stage's first step, after its plan was validated.
struct StageBegin {
  const std::string& stage;
  std::int64_t epochs;
  std::int64_t steps_per_epoch;
  const std::vector<GroupPlan>& groups;
};

/// After each optimizer step. `loss` is still on its device: reading it (`loss.item<double>()`) waits for the device.
struct StepEnd {
  const std::string& stage;
  std::int64_t epoch;  ///< 1 is the stage's first
  std::int64_t epochs;
  std::int64_t step;           ///< 1 is the stage's first
  std::int64_t steps;          ///< of the whole stage
  std::span<const double> lr;  ///< per layer group, as used in this step
  const at::Tensor& loss;      ///< scalar, detached
};

/// After each epoch, validation included.
struct EpochEnd {
  const EpochRecord& record;
};

/// After a stage's last step.
struct StageEnd {
  const StageRecord& record;
  const History& history;
};

}  // namespace thaw
