// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cmath>
#include <cstdint>

#include <thaw/core/mixed_seed.hpp>

namespace thaw::vision {

/// Random numbers that follow from a seed alone, the same on every machine and with every standard library: splitmix64
/// (Steele, Lea and Flood 2014). One is made for each image and epoch, so that what happens to an image depends on no
/// other one and on no thread.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  /// 64 random bits.
  [[nodiscard]] std::uint64_t bits() { return scattered(state_ += 0x9E3779B97F4A7C15); }
  /// In [from, to).
  [[nodiscard]] double uniform(double from = 0, double to = 1) {
    return from + (to - from) * static_cast<double>(bits() >> 11) * 0x1p-53;
  }
  /// One of 0, 1, ..., n - 1; n is at least 1.
  [[nodiscard]] std::int64_t below(std::int64_t n) {
    return static_cast<std::int64_t>(uniform() * static_cast<double>(n));
  }
  /// True with probability p: never for 0, always for 1.
  [[nodiscard]] bool chance(double p) { return uniform() < p; }
  /// Such that its logarithm is uniform; both above 0.
  [[nodiscard]] double log_uniform(double from, double to) { return std::exp(uniform(std::log(from), std::log(to))); }

 private:
  std::uint64_t state_;
};

}  // namespace thaw::vision
