// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>

#include <thaw/core/error.hpp>

namespace thaw::detail {

/// Throws ConfigError unless `value` is in [0, 1].
inline void check_fraction(const char* where, const char* what, double value) {
  if (!(value >= 0 && value <= 1))
    throw ConfigError(where, std::string(what) + " is " + number(value), "give a number in [0, 1]");
}

/// Throws ConfigError unless `value` is in (0, 1].
inline void check_factor(const char* where, const char* what, double value) {
  if (!(value > 0 && value <= 1))
    throw ConfigError(where, std::string(what) + " is " + number(value), "give a number in (0, 1]");
}

}  // namespace thaw::detail
