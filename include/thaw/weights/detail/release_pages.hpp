// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <thaw/weights/detail/tensor_spec.hpp>

namespace thaw::detail {

/// Takes the pages of a tensor that lies in a mapped file out of this process, so that a large file is not in memory
/// beside its copy: they are read again if they are needed again. Nothing may have been written to them.
inline void release_pages(const at::Tensor& tensor) {
  const at::DataPtr& data = tensor.storage().data_ptr();
  if (data.get_deleter() != forget_owner) return;  // memory of its own
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(data.get());
  const std::uintptr_t first = (begin + page - 1) / page * page,
                       last = (begin + tensor.storage().nbytes()) / page * page;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): madvise wants the whole pages inside, whose bounds only numbers give
  if (first < last) (void)::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace thaw::detail
