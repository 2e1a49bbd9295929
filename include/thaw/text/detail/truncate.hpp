// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>

namespace thaw::text::detail {

/// Cuts off ends so that both texts and `special` tokens are at most `max_tokens`, as tokenizers' "longest first" does:
/// the longer text until it is as long as the other, then both, of which the one that was longer keeps an odd token.
inline void truncate(std::vector<std::int64_t>& first, std::vector<std::int64_t>& second, std::int64_t max_tokens,
                     std::int64_t special) {
  if (max_tokens == 0) return;
  if (max_tokens < special)
    throw ConfigError("WordPiece::encode", "max_tokens is " + std::to_string(max_tokens),
                      "give at least " + std::to_string(special) + ", for [CLS] and each [SEP], or 0 for no limit");
  const auto most = static_cast<std::size_t>(max_tokens - special);
  if (first.size() + second.size() <= most) return;
  auto& shorter = first.size() > second.size() ? second : first;
  auto& longer = first.size() > second.size() ? first : second;
  if (const std::size_t half = most / 2; shorter.size() > half) {
    shorter.resize(half);
    longer.resize(most - half);
  } else {
    longer.resize(most - shorter.size());
  }
}

}  // namespace thaw::text::detail
