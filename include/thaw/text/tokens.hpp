// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <vector>

namespace thaw::text {

/// A text as a model takes it: the numbers of its tokens, and of each which text of a pair it is from, 0 or 1.
struct Tokens {
  std::vector<std::int64_t> ids = {};
  std::vector<std::int64_t> types = {};
};

}  // namespace thaw::text
