// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

namespace thaw {

/// Neighbouring numbers far apart: the last step of splitmix64 (Steele, Lea and Flood 2014).
[[nodiscard]] constexpr std::uint64_t scattered(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

/// Seed and epoch in one number.
[[nodiscard]] constexpr std::uint64_t mixed_seed(std::uint64_t seed, std::int64_t epoch) {
  constexpr std::uint64_t golden_ratio = 0x9E3779B97F4A7C15;  // spreads consecutive epochs over the seeds
  return seed ^ (golden_ratio * static_cast<std::uint64_t>(epoch + 1));
}

/// That of the i-th batch or sample of an epoch, whose seed this is.
[[nodiscard]] constexpr std::uint64_t seed_of(std::uint64_t epoch_seed, std::int64_t i) {
  return scattered(scattered(epoch_seed) + static_cast<std::uint64_t>(i));
}

}  // namespace thaw
