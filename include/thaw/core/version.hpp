#pragma once

namespace thaw {

inline constexpr const char* version = "0.1.0";

}  // namespace thaw
