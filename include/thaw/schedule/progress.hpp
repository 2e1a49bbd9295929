// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <thaw/core/error.hpp>

namespace thaw {

/// Where a stage stands: optimizer step `step` of `steps`, both counted from the stage's first step (0).
struct Progress {
  std::int64_t step = 0;
  std::int64_t steps = 1;
  std::int64_t steps_per_epoch = 1;

  /// step / steps: 0 in the first step; 1 is never reached while training.
  [[nodiscard]] constexpr double t() const { return static_cast<double>(step) / static_cast<double>(steps); }
  /// The epoch that this step belongs to, from 0.
  [[nodiscard]] constexpr std::int64_t epoch() const { return step / steps_per_epoch; }
};

/// Every step of a stage, in order: a forward range of Progress. Made by `steps`.
class StepRange {
 public:
  class Iterator {
   public:
    using value_type = Progress;
    using difference_type = std::ptrdiff_t;

    constexpr Iterator() = default;
    constexpr explicit Iterator(const Progress& at) : at_(at) {}

    [[nodiscard]] constexpr Progress operator*() const { return at_; }
    constexpr Iterator& operator++() { return ++at_.step, *this; }
    constexpr Iterator operator++(int) {
      const Iterator before = *this;
      return ++*this, before;
    }
    [[nodiscard]] constexpr bool operator==(const Iterator& other) const { return at_.step == other.at_.step; }

   private:
    Progress at_;
  };

  constexpr explicit StepRange(const Progress& first) : first_(first) {}

  [[nodiscard]] constexpr Iterator begin() const { return Iterator(first_); }
  [[nodiscard]] constexpr Iterator end() const {
    Progress last = first_;
    last.step = first_.steps;
    return Iterator(last);
  }
  [[nodiscard]] constexpr bool empty() const { return first_.steps == 0; }
  [[nodiscard]] constexpr std::size_t size() const { return static_cast<std::size_t>(first_.steps); }

 private:
  Progress first_;
};

/// Every step of a stage, for a loop that the user writes: `for (thaw::Progress at : thaw::steps(total)) ...`
/// None of 0; throws ConfigError for less than 0, and for less than one step per epoch.
[[nodiscard]] constexpr StepRange steps(std::int64_t total, std::int64_t steps_per_epoch = 1) {
  if (total < 0) throw ConfigError("steps", std::to_string(total) + " steps", "give how many the stage has");
  if (steps_per_epoch < 1)
    throw ConfigError("steps", std::to_string(steps_per_epoch) + " steps per epoch", "give at least 1");
  return StepRange({.step = 0, .steps = total, .steps_per_epoch = steps_per_epoch});
}

}  // namespace thaw
