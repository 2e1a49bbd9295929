// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <limits>

namespace thaw::test {

inline constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
inline constexpr double infinite = std::numeric_limits<double>::infinity();

}  // namespace thaw::test
