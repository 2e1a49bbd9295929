// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>

namespace thaw {

/// Names in a file that `from`, an ECMAScript regular expression, finds become `to`, where $1 is its first group.
struct Rename {
  std::string from, to;
};

}  // namespace thaw
