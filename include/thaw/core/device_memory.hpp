// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <type_traits>

namespace thaw {

namespace detail {

/// The most bytes that LibTorch's allocator gave out at once, on a device of that kind; `anew`: from now on. A
/// template, since LibTorch 2.6 has no such function to call.
template <class Type>
std::int64_t most_bytes(const Type& type, at::DeviceIndex index, bool anew) {
  if constexpr (requires { getDeviceAllocator(type)->getDeviceStats(index); }) {
    using Counting = std::remove_pointer_t<decltype(getDeviceAllocator(type))>;
    auto* allocator = type == Type::CPU ? nullptr : dynamic_cast<Counting*>(c10::GetAllocator(type));
    if (allocator == nullptr) return 0;
    if (anew) allocator->resetPeakStats(index);
    return allocator->getDeviceStats(index).allocated_bytes[0].peak;  // of small and large blocks
  } else {
    return 0;
  }
}

}  // namespace detail

/// The most memory of a device that tensors took at once since this was made: what torch.cuda.max_memory_allocated()
/// says, which starts anew with it. Not known for the CPU, nor in a LibTorch before 2.9.
class PeakMemory {
 public:
  explicit PeakMemory(const at::Device& device) : device_(device) {
    (void)detail::most_bytes(device.type(), device.index(), /*anew=*/true);
  }

  /// 0 where it is not known.
  [[nodiscard]] std::int64_t bytes() const {
    return detail::most_bytes(device_.type(), device_.index(), /*anew=*/false);
  }

 private:
  at::Device device_;
};

}  // namespace thaw
