// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <utility>
#include <vector>

namespace thaw {

/// A step that the device may call off, so that the host need not wait for the reason: what AdamW, Adam and SGD do for
/// a Learner at Precision::float16, as PyTorch's fused optimizers for torch.amp.GradScaler.
///
///     optimizer.unless(overflow);  // one number on the device: where it is not 0, the next step does nothing
///     optimizer.step();
///     optimizer.settle(done);      // once the host has read that number; before the next step
class RevocableStep {
 public:
  RevocableStep() = default;
  RevocableStep(const RevocableStep&) = default;
  RevocableStep(RevocableStep&&) = default;
  RevocableStep& operator=(const RevocableStep&) = default;
  RevocableStep& operator=(RevocableStep&&) = default;
  virtual ~RevocableStep() = default;

  /// Whether kernels that can be called off do the whole of the next step, on this device.
  [[nodiscard]] virtual bool revocable(const at::Device& device) = 0;
  void unless(const at::Tensor& overflow) { overflow_ = overflow; }
  /// Counts the last step where it was done, and forgets it where it was not.
  void settle(bool done) {
    for (void* parameter : std::exchange(unsettled_, {})) settled(parameter, done);
  }

 protected:
  virtual void settled(void* parameter, bool done) = 0;

  std::optional<at::Tensor> overflow_;
  std::vector<void*> unsettled_;  // whose state does not know of the last step yet: keys of Optimizer::state()
};

}  // namespace thaw
