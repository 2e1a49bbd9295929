// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/core/Tensor.h>

#include <vector>

namespace thaw {

/// Whether LibTorch has a device to compute on besides the CPU: a GPU, in most cases.
[[nodiscard]] inline bool has_accelerator() {
  return at::getAccelerator().has_value();
}

/// Whether this program has that device: the CPU, or one of the accelerator's.
[[nodiscard]] inline bool has_device(const at::Device& device) {
  return device.is_cpu() ||
         (at::getAccelerator() == device.type() &&
          device.index() < at::globalContext().getAcceleratorHooksInterface(device.type()).deviceCount());
}

/// The CPU, and the accelerator's devices that are in use.
[[nodiscard]] inline std::vector<at::Device> devices_in_use() {
  std::vector<at::Device> devices{at::kCPU};
  const auto type = at::getAccelerator();
  if (!type) return devices;
  const at::AcceleratorHooksInterface& accelerator = at::globalContext().getAcceleratorHooksInterface(type);
  for (at::DeviceIndex i = 0; i < accelerator.deviceCount(); ++i)
    if (accelerator.hasPrimaryContext(i)) devices.emplace_back(*type, i);
  return devices;
}

/// The tensor on a device. From the CPU it goes by way of page-locked memory, for which the host does not wait.
[[nodiscard]] inline at::Tensor send_to(const at::Device& device, const at::Tensor& tensor) {
  if (tensor.device() == device) return tensor;
  if (!tensor.is_cpu() || tensor.layout() != at::kStrided || at::getAccelerator() != device.type())
    return tensor.to(device);
  return tensor.pin_memory().to(device, /*non_blocking=*/true);
}

}  // namespace thaw
