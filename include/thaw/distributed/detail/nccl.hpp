// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/Context.h>
#include <c10/core/Device.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

#if defined(USE_C10D_NCCL) && __has_include(<nccl.h>)
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#define THAW_HAS_NCCL 1  // NOLINT(cppcoreguidelines-macro-usage): for #if
#endif

#include <chrono>
#include <cstdint>
#include <string>

#include <thaw/core/error.hpp>

namespace thaw::distributed::detail {

[[nodiscard]] inline std::int64_t cuda_devices() {
  return at::globalContext().hasCUDA() ? c10::impl::VirtualGuardImpl(at::kCUDA).deviceCount() : 0;
}

#ifdef THAW_HAS_NCCL

/// LibTorch's classes are laid out by the nccl.h that they are compiled with: here, and when LibTorch was built.
inline void check_nccl_version() {
  const auto [major, minor, patch] = c10d::getNcclVersionTuple();
  if (major == NCCL_MAJOR && minor == NCCL_MINOR) return;
  throw ConfigError("distributed::init",
                    "this program was built with NCCL " + std::to_string(NCCL_MAJOR) + "." +
                        std::to_string(NCCL_MINOR) + "'s header, and LibTorch runs NCCL " + std::to_string(major) +
                        "." + std::to_string(minor),
                    "give CMake the nccl.h of that version (NCCL_ROOT)");
}

/// Tensors of CUDA devices go by NCCL, where this process has a device of its own.
inline void add_nccl(c10d::ProcessGroup& group, const c10::intrusive_ptr<c10d::PrefixStore>& store,
                     std::int64_t local_rank, std::chrono::milliseconds timeout) {
  if (local_rank >= cuda_devices()) return;
  check_nccl_version();
  c10::impl::VirtualGuardImpl(at::kCUDA).setDevice({at::kCUDA, static_cast<at::DeviceIndex>(local_rank)});
  const auto how = c10d::ProcessGroupNCCL::Options::create();
  how->timeout = timeout;
  const auto nccl = c10::make_intrusive<c10d::ProcessGroupNCCL>(c10::make_intrusive<c10d::PrefixStore>("nccl", store),
                                                                group.getRank(), group.getSize(), how);
  group.setBackend(c10::DeviceType::CUDA, c10d::ProcessGroup::BackendType::NCCL, nccl);
}

#else

inline void add_nccl(const c10d::ProcessGroup&, const c10::intrusive_ptr<c10d::PrefixStore>&, std::int64_t,
                     std::chrono::milliseconds) {}

#endif

}  // namespace thaw::distributed::detail
