// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include <thaw/core/accelerator.hpp>

namespace thaw::detail {

/// The stream by which this thread copies to a device, always the same: what is allocated on a stream is used again
/// there. None for the CPU, and for devices that have no streams to give.
[[nodiscard]] inline std::optional<c10::Stream> copy_stream(const at::Device& device) {
  if (device.is_cpu() || !c10::impl::hasDeviceGuardImpl(device.type())) return std::nullopt;
  thread_local std::vector<std::pair<at::Device, std::optional<c10::Stream>>> streams;
  const auto known = std::ranges::find(streams, device, [](const auto& each) { return each.first; });
  if (known != streams.end()) return known->second;
  std::optional<c10::Stream> stream;
  try {
    stream = c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device);
  } catch (const c10::Error&) {  // NOLINT(bugprone-empty-catch): Apple's devices, say
  }
  streams.emplace_back(device, stream);
  return stream;
}

/// Copies tensors of the host to a device beside what that computes: by a stream of their own, for which the current
/// one waits in `finish`. The host waits for neither.
class SideCopies {
 public:
  explicit SideCopies(const at::Device& device) : device_(device), stream_(copy_stream(device)) {
    if (stream_) current_ = c10::impl::VirtualGuardImpl(device.type()).getStream(device);
  }

  [[nodiscard]] at::Tensor operator()(const at::Tensor& tensor) {
    if (tensor.device() == device_) return tensor;  // on a tiny network even a `to` that does nothing shows
    if (!stream_ || !tensor.is_cpu()) return tensor.to(device_, /*non_blocking=*/!device_.is_cpu());
    at::Tensor copy;
    {
      const c10::StreamGuard beside(stream_.value());
      copy = send_to(device_, tensor);
    }
    copy.record_stream(current_.value());  // its memory is not used anew before that is done with it
    copied_ = true;
    return copy;
  }

  void finish() {
    if (!copied_) return;
    c10::Event arrived(device_.type());
    arrived.record(stream_.value());
    arrived.block(current_.value());
  }

 private:
  at::Device device_;
  std::optional<c10::Stream> stream_, current_;
  bool copied_ = false;
};

}  // namespace thaw::detail
