#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include <thaw/data/batch.hpp>

namespace thaw::detail {

/// A batch, and how many samples it has in all processes.
struct Drawn {
  Batch batch;
  std::int64_t samples;
};

/// What one optimizer step saw.
struct StepLoss {
  at::Tensor loss;  // the mean over its samples, detached, on the device
  std::int64_t samples;
  bool overflowed;  // its gradients, at Precision::float16, so that there was no step: as far as is known
  bool skipped;     // a callback wanted that
};

}  // namespace thaw::detail
