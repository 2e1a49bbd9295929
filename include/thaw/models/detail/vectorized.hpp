// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Loops over floats that run as wide as the processor allows, by whichever flags they are compiled. GCC 12 vectorizes
// none below -O3, and without -march none for more than SSE2.

namespace thaw::models::detail {

// NOLINTBEGIN(cppcoreguidelines-macro-usage): attributes
#if defined(__GNUC__) && !defined(__clang__)
#define THAW_OPTIMIZED gnu::optimize("O3")
#else
#define THAW_OPTIMIZED
#endif
// NOLINTEND(cppcoreguidelines-macro-usage)

template <class Loop, class... Args>
[[THAW_OPTIMIZED]] void run_plain(const Loop& loop, Args... args) {
  loop(args...);
}

#if defined(__x86_64__) && defined(__GNUC__)
template <class Loop, class... Args>
[[THAW_OPTIMIZED, gnu::target("avx2,fma")]] void run_avx2(const Loop& loop, Args... args) {
  loop(args...);
}
#endif

/// Whether the processor multiplies and adds with one rounding; LibTorch's kernels do then.
[[nodiscard]] inline bool has_fma() {
#if defined(__x86_64__) && defined(__GNUC__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#elif defined(__aarch64__)
  return true;
#else
  return false;
#endif
}

/// loop(args...). Its operator must be [[gnu::always_inline]], and read what it chooses between before it chooses.
template <class Loop, class... Args>
void vectorized(const Loop& loop, Args... args) {
#if defined(__x86_64__) && defined(__GNUC__)
  if (has_fma()) return run_avx2(loop, args...);
#endif
  run_plain(loop, args...);
}

#undef THAW_OPTIMIZED

}  // namespace thaw::models::detail
