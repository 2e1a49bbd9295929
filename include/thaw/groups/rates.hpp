#pragma once

#include <cmath>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>

namespace thaw {

/// n values from a to b, evenly spaced in ratio: a (b/a)^(i/(n-1)); n == 1 gives b. Source: fastai's `even_mults`.
[[nodiscard]] inline std::vector<double> even_mults(double a, double b, std::size_t n) {
  if (n == 1) return {b};
  std::vector<double> values(n);
  const double step = std::pow(b / a, 1.0 / static_cast<double>(n - 1));
  for (std::size_t i = 0; i < n; ++i) values[i] = a * std::pow(step, static_cast<double>(i));
  return values;
}

/// The peak rate of every layer group, first to last, as a function of how many groups there are. Units: absolute
/// rates. A plain number is one rate for all.
class DiscriminativeLR {
 public:
  DiscriminativeLR(double all) : DiscriminativeLR([all](std::size_t n) { return std::vector(n, all); }) {}

  /// From `first` for group 0 to `last` for the head, evenly in ratio.
  [[nodiscard]] static DiscriminativeLR slice(double first, double last) {
    return DiscriminativeLR([=](std::size_t n) { return even_mults(first, last, n); });
  }

  /// `last` for the last group, last / 10 for all others.
  [[nodiscard]] static DiscriminativeLR slice(double last) {
    return DiscriminativeLR([=](std::size_t n) {
      std::vector<double> rates(n, last / 10);
      rates.back() = last;
      return rates;
    });
  }

  /// One rate per group, first to last.
  [[nodiscard]] static DiscriminativeLR each(std::vector<double> rates) {
    return DiscriminativeLR([r = std::move(rates)](std::size_t) { return r; });
  }

  /// The rates of `groups` layer groups.
  /// Throws ConfigError for a list of another length, and for a rate that is not a positive number (0 is allowed).
  [[nodiscard]] std::vector<double> operator()(std::size_t groups) const {
    std::vector<double> rates = rates_(groups);
    if (rates.size() != groups)
      throw ConfigError("DiscriminativeLR",
                        std::to_string(rates.size()) + " rates for " + std::to_string(groups) + " layer groups",
                        "give one rate per group, first to last, or a slice");
    for (const double rate : rates)
      if (!std::isfinite(rate) || rate < 0)
        throw ConfigError("DiscriminativeLR", "a rate is " + std::to_string(rate),
                          "give finite rates >= 0; both ends of a slice must be > 0");
    return rates;
  }

 private:
  explicit DiscriminativeLR(std::function<std::vector<double>(std::size_t)> rates) : rates_(std::move(rates)) {}

  std::function<std::vector<double>(std::size_t)> rates_;
};

}  // namespace thaw
