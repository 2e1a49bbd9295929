// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cmath>
#include <numbers>

namespace thaw {

/// How a value moves from `start` (p = 0) to `end` (p = 1).
enum class Anneal { cosine, linear };

/// start + (1 + cos(pi (1 - p))) (end - start) / 2, and exactly `end` at p = 1, where a small end would be lost in
/// start + (end - start). Source: fastai's SchedCos.
[[nodiscard]] inline double anneal_cosine(double start, double end, double p) {
  if (p == 1) return end;
  return start + (1 + std::cos(std::numbers::pi * (1 - p))) * (end - start) / 2;
}

/// start + p (end - start).
[[nodiscard]] constexpr double anneal_linear(double start, double end, double p) {
  return start + p * (end - start);
}

/// start (end / start)^p: even steps on a logarithmic axis. Both ends must have the same sign.
[[nodiscard]] inline double anneal_exponential(double start, double end, double p) {
  return start * std::pow(end / start, p);
}

/// start + p^power (end - start). Source: fastai's SchedPoly.
[[nodiscard]] inline double anneal_polynomial(double start, double end, double p, double power) {
  return start + std::pow(p, power) * (end - start);
}

[[nodiscard]] inline double anneal(Anneal shape, double start, double end, double p) {
  return shape == Anneal::cosine ? anneal_cosine(start, end, p) : anneal_linear(start, end, p);
}

}  // namespace thaw
