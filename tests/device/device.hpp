// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/allclose.h>
#include <c10/core/Device.h>

namespace thaw::test {

/// What the tests of this room run on: the simulated accelerator, or what THAW_TEST_DEVICE names ("cuda", "cuda:1",
/// "cpu").
at::Device test_device();
bool is_simulated();

/// How far double precision may be off from the CPU's: the simulated accelerator has the CPU's kernels, but LibTorch
/// takes other ways to them.
inline double tolerance() {
  return is_simulated() || test_device().is_cpu() ? 1e-12 : 1e-9;
}

/// Whether what the device gave is what the CPU gave.
inline bool near(const at::Tensor& from_device, const at::Tensor& expected) {
  return from_device.sizes() == expected.sizes() && from_device.scalar_type() == expected.scalar_type() &&
         at::allclose(from_device.detach().cpu(), expected.detach(), tolerance(), tolerance(), /*equal_nan=*/true);
}

}  // namespace thaw::test
