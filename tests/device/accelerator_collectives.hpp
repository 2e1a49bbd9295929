// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

namespace thaw::test::accelerator {

/// Tensors of the accelerator can be sent to the group's other processes from now on: what NCCL is to CUDA's. They go
/// by what the group has for the CPU.
void add_collectives(c10d::ProcessGroup& group);

}  // namespace thaw::test::accelerator
