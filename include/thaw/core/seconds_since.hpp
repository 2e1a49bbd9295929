// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <chrono>

namespace thaw::detail {

/// By a clock that is never set.
[[nodiscard]] inline double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace thaw::detail
