// SPDX-License-Identifier: BSD-3-Clause
#pragma once

namespace thaw {

inline constexpr const char* version = "0.1.0";

}  // namespace thaw
