// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <variant>

#include <thaw/core/error.hpp>
#include <thaw/schedule/detail/check.hpp>
#include <thaw/schedule/progress.hpp>

namespace thaw {

/// So many epochs of a stage; 1.5, say, is allowed.
struct Epochs {
  double number = 1;
};

/// So many optimizer steps.
struct Steps {
  std::int64_t number = 1;
};

/// A part of a stage's steps: in (0, 1].
struct Fraction {
  double number = 1;
};

/// How long something takes, in one unit: `thaw::Epochs{2}`, `thaw::Steps{100}` or `thaw::Fraction{0.1}`.
using Length = std::variant<Epochs, Steps, Fraction>;

/// How much of this stage a length is, in optimizer steps; not rounded.
[[nodiscard]] inline double steps_of(const Length& length, const Progress& stage) {
  if (const auto* epochs = std::get_if<Epochs>(&length))
    return epochs->number * static_cast<double>(stage.steps_per_epoch);
  if (const auto* steps = std::get_if<Steps>(&length)) return static_cast<double>(steps->number);
  return std::get<Fraction>(length).number * static_cast<double>(stage.steps);
}

namespace detail {

/// Throws ConfigError for a length that is not above 0, not finite, or more than the whole stage.
inline void check_length(const char* where, const Length& length) {
  if (const auto* fraction = std::get_if<Fraction>(&length)) return check_factor(where, "Fraction", fraction->number);
  const double number = std::visit([](auto each) { return static_cast<double>(each.number); }, length);
  if (!(number > 0 && std::isfinite(number)))
    throw ConfigError(where,
                      (std::holds_alternative<Epochs>(length) ? "Epochs is " : "Steps is ") + detail::number(number),
                      "give a positive number");
}

}  // namespace detail

}  // namespace thaw
