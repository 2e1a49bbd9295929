// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>

namespace thaw {

/// n values from a to b, evenly spaced in ratio: a (b/a)^(i/(n-1)); n == 1 gives b. Source: fastai's `even_mults`.
[[nodiscard]] std::vector<double> even_mults(double a, double b, std::size_t n);

/// The peak rate of every layer group, first to last, as a function of how many groups there are. Units: absolute
/// rates. A plain number is one rate for all; any `std::vector<double>(std::size_t groups)` will do as well. Slices and
/// decays throw ConfigError at once for numbers that make no sense.
class DiscriminativeLR {
 public:
  DiscriminativeLR(double all) : rates_([all](std::size_t n) { return std::vector(n, all); }) {}

  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, DiscriminativeLR> &&
             std::is_invocable_r_v<std::vector<double>, const F&, std::size_t>)
  DiscriminativeLR(F rates) : rates_(std::move(rates)) {}

  /// From `first` for group 0 to `last` for the head, evenly in ratio.
  [[nodiscard]] static DiscriminativeLR slice(double first, double last);

  /// `last` for the last group, last / 10 for all others.
  [[nodiscard]] static DiscriminativeLR slice(double last);

  /// `lr` for the last group, and for each one before it that of the next / `factor`: lr / factor^(n-1-i).
  /// Source: ULMFiT, arXiv:1801.06146.
  [[nodiscard]] static DiscriminativeLR decay(double lr, double factor = 2.6);

  /// `lr` for the last group, and for each one before it `decay` times that of the next, but no less than `min_scale`
  /// times lr: lr max(min_scale, decay^(n-1-i)). Source: timm's `param_groups_layer_decay`.
  [[nodiscard]] static DiscriminativeLR layer_decay(double lr, double decay = 0.75, double min_scale = 0);

  /// `lr` for the last group, the head; lr times `body_factor` for all others.
  [[nodiscard]] static DiscriminativeLR head_body(double lr, double body_factor = 0.1) {
    return by_depth([=](double depth) { return depth == 0 ? lr : lr * body_factor; });
  }

  /// One rate per group, first to last.
  [[nodiscard]] static DiscriminativeLR each(std::vector<double> rates) {
    return [r = std::move(rates)](std::size_t) { return r; };
  }

  /// The rates of `groups` layer groups.
  /// Throws ConfigError for a list of another length, and for a rate that is not a positive number (0 is allowed).
  [[nodiscard]] std::vector<double> operator()(std::size_t groups) const;

 private:
  /// rate(0) for the last group, rate(1) for the one before it, ...
  [[nodiscard]] static DiscriminativeLR by_depth(auto rate) {
    return [=](std::size_t n) {
      std::vector<double> rates(n);
      for (std::size_t i = 0; i < n; ++i) rates[i] = rate(static_cast<double>(n - 1 - i));
      return rates;
    };
  }

  static void check_positive(const std::string& maker, const std::string& what, double value);

  std::function<std::vector<double>(std::size_t)> rates_;
};

}  // namespace thaw

#if THAW_DEFINES(groups)

namespace thaw {

THAW_INLINE std::vector<double> even_mults(double a, double b, std::size_t n) {
  if (n == 1) return {b};
  std::vector<double> values(n);
  const double step = std::pow(b / a, 1.0 / static_cast<double>(n - 1));
  for (std::size_t i = 0; i < n; ++i) values[i] = a * std::pow(step, static_cast<double>(i));
  return values;
}

THAW_INLINE DiscriminativeLR DiscriminativeLR::slice(double first, double last) {
  check_positive("slice", "an end", first);
  check_positive("slice", "an end", last);
  return [=](std::size_t n) { return even_mults(first, last, n); };
}

THAW_INLINE DiscriminativeLR DiscriminativeLR::slice(double last) {
  check_positive("slice", "the end", last);
  return by_depth([=](double depth) { return depth == 0 ? last : last / 10; });
}

THAW_INLINE DiscriminativeLR DiscriminativeLR::decay(double lr, double factor) {
  check_positive("decay", "the factor", factor);
  return by_depth([=](double depth) { return lr / std::pow(factor, depth); });
}

THAW_INLINE DiscriminativeLR DiscriminativeLR::layer_decay(double lr, double decay, double min_scale) {
  check_positive("layer_decay", "the decay", decay);
  if (!(min_scale >= 0 && min_scale <= 1))
    throw ConfigError("DiscriminativeLR::layer_decay", "min_scale is " + detail::number(min_scale),
                      "give the least fraction of the rate, in [0, 1]");
  return by_depth([=](double depth) { return lr * std::max(min_scale, std::pow(decay, depth)); });
}

THAW_INLINE std::vector<double> DiscriminativeLR::operator()(std::size_t groups) const {
  std::vector<double> rates = rates_(groups);
  if (rates.size() != groups)
    throw ConfigError("DiscriminativeLR",
                      std::to_string(rates.size()) + " rates for " + std::to_string(groups) + " layer groups",
                      "give one rate per group, first to last, or a slice");
  for (std::size_t i = 0; i < groups; ++i)
    if (!std::isfinite(rates[i]) || rates[i] < 0)
      throw ConfigError("DiscriminativeLR",
                        "the rate of layer group " + std::to_string(i) + " is " + detail::number(rates[i]),
                        "give finite rates, 0 or more");
  return rates;
}

THAW_INLINE void DiscriminativeLR::check_positive(const std::string& maker, const std::string& what, double value) {
  if (!(value > 0 && std::isfinite(value)))
    throw ConfigError("DiscriminativeLR::" + maker, what + " is " + detail::number(value),
                      "give a positive number; to hold a group still, freeze it");
}

}  // namespace thaw

#endif
