// SPDX-License-Identifier: BSD-3-Clause
// Autocast on the simulated accelerator: LibTorch's own lists of what runs in which precision.

#include <ATen/Operators.h>
#include <ATen/autocast_mode.h>
#include <torch/library.h>

#ifdef AT_FORALL_LOWER_PRECISION_FP

namespace thaw::test::accelerator {

TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFallthrough());
}

// NOLINTBEGIN(bugprone-macro-parentheses): LibTorch's macros take a library called m
TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, m) {
#define THAW_LOWER(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, lower_precision_fp)
#define THAW_FP32(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, fp32)
#define THAW_FP32_SET_TYPE(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, fp32_set_opt_dtype)
#define THAW_PROMOTE(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, promote)
  AT_FORALL_LOWER_PRECISION_FP(THAW_LOWER)
  AT_FORALL_FP32(THAW_FP32)
  AT_FORALL_FP32_SET_OPT_DTYPE(THAW_FP32_SET_TYPE)
  AT_FORALL_PROMOTE(THAW_PROMOTE)
}
// NOLINTEND(bugprone-macro-parentheses)

}  // namespace thaw::test::accelerator

#endif
