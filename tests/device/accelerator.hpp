// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <string>
#include <vector>

/// An accelerator that is simulated in the host's memory, as LibTorch's device "accelerator": what would fail, stall or
/// be wrong now and then on a GPU fails here each time.
///
/// Its kernels run at once, on the CPU. Its addresses fault where the host reads them, and new memory holds NaNs. A
/// tensor of the CPU among its own is refused where CUDA refuses it. A copy from pinned memory that is issued while
/// another stream than the default one is current waits until somebody may rely on it: until a stream waits for an
/// event behind it, or the host does; what it is to write is NaN meanwhile. A copy to pinned memory waits for the host.
namespace thaw::test::accelerator {

/// Makes it LibTorch's accelerator, once; `device.cpp` does so before main, since autograd counts the devices but once.
at::Device start();

/// How often the host has waited for the device so far, or would have: item(), copies that are not asynchronous,
/// results whose size depends on values, synchronize().
std::int64_t syncs();

/// While one lives, what waits for the device throws instead, and says what it was.
class NoSync {
 public:
  NoSync();
  ~NoSync();
  NoSync(const NoSync&) = delete;
  NoSync& operator=(const NoSync&) = delete;
};

/// While one lives, what waits for the device in this thread does not count: it stands for something on the device.
class NotCounted {
 public:
  NotCounted();
  ~NotCounted();
  NotCounted(const NotCounted&) = delete;
  NotCounted& operator=(const NotCounted&) = delete;
};

/// What was used before the stream that writes it was waited for, or freed while another stream uses it, since it was
/// last asked for.
std::vector<std::string> misuse();

struct MemoryInUse {
  std::int64_t now, peak;
};
/// In bytes.
MemoryInUse memory();
void reset_peak();
/// More than that in all is out of memory; 0: there is no limit.
void limit_memory(std::int64_t bytes);

}  // namespace thaw::test::accelerator
