// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/autocast_mode.h>
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#if defined(__x86_64__) && __has_include(<cpuid.h>)
#include <cpuid.h>
#endif

#include <string>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>

namespace thaw {

/// In which numbers a model's forward pass computes; weights, gradients and the optimizer keep their own type.
enum class Precision {
  full,      ///< in the weights' own type
  bfloat16,  ///< autocast: convolutions and matrix products in bfloat16, what needs it in float32
  float16,   ///< autocast to float16, the loss scaled; where gradients overflow, nothing moves, nor does the schedule
};

/// How the weights of convolutions and the images given to them lie in memory. Values are the same, sums are rounded
/// otherwise.
enum class Layout {
  automatic,      ///< channels_last on a CPU at full precision, if the model's first output is the same with it
  contiguous,     ///< as they are: [N, C, H, W]
  channels_last,  ///< pixel by pixel: what LibTorch's convolutions compute in; views of feature maps may fail
};

/// Autocast while it lives, as Python's `with torch.autocast(device, dtype)`: for a forward pass of your own.
class Autocast {
 public:
  Autocast(at::DeviceType device, at::ScalarType dtype);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  at::DeviceType device_;
  bool was_enabled_;
  at::ScalarType old_dtype_;
};

/// Whether this CPU multiplies in these numbers. Elsewhere than on x86 nothing is known, and it counts as true.
[[nodiscard]] bool cpu_computes_in([[maybe_unused]] Precision precision);

namespace detail {

/// Throws ConfigError where a precision would make training slower.
void check_precision(Precision precision, const at::Device& device);

}  // namespace detail

}  // namespace thaw

#if THAW_DEFINES(train)

namespace thaw {

THAW_INLINE Autocast::Autocast(at::DeviceType device, at::ScalarType dtype)
    : device_(device),
      was_enabled_(at::autocast::is_autocast_enabled(device)),
      old_dtype_(at::autocast::get_autocast_dtype(device)) {
  at::autocast::set_autocast_enabled(device_, true);
  at::autocast::set_autocast_dtype(device_, dtype);
  at::autocast::increment_nesting();
}

THAW_INLINE Autocast::~Autocast() {
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(device_, was_enabled_);
  at::autocast::set_autocast_dtype(device_, old_dtype_);
}

THAW_INLINE bool cpu_computes_in([[maybe_unused]] Precision precision) {
#if defined(__x86_64__) && __has_include(<cpuid.h>)
  unsigned a = 0, b = 0, c = 0, d = 0, a1 = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
  const unsigned d0 = d;                                      // AMX-BF16: bit 22; AVX512-FP16: bit 23
  if (__get_cpuid_count(7, 1, &a1, &b, &c, &d) == 0) a1 = 0;  // AVX512-BF16: bit 5; AMX-FP16: bit 21
  if (precision == Precision::bfloat16) return ((d0 >> 22 | a1 >> 5) & 1) != 0;
  return precision == Precision::full || ((d0 >> 23 | a1 >> 21) & 1) != 0;
#else
  return true;
#endif
}

}  // namespace thaw

namespace thaw::detail {

THAW_INLINE void check_precision(Precision precision, const at::Device& device) {
  if (!device.is_cpu() || cpu_computes_in(precision)) return;
  const bool half = precision == Precision::float16;
  throw ConfigError("LearnerOptions::precision",
                    std::string("this CPU has neither ") + (half ? "AVX512-FP16 nor AMX-FP16" : "AVX512-BF16 nor AMX") +
                        ", without which " + (half ? "float16" : "bfloat16") + " is many times slower than float32",
                    "leave it at Precision::full, or move the model to a GPU before the Learner is made");
}

}  // namespace thaw::detail

#endif
