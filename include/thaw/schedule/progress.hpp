#pragma once

#include <cstdint>
#include <ranges>
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

/// Every step of a stage, for a loop that the user writes: `for (thaw::Progress at : thaw::steps(total)) ...`
/// None of 0; throws ConfigError for less than 0, and for less than one step per epoch.
[[nodiscard]] constexpr auto steps(std::int64_t total, std::int64_t steps_per_epoch = 1) {
  if (total < 0) throw ConfigError("steps", std::to_string(total) + " steps", "give how many the stage has");
  if (steps_per_epoch < 1)
    throw ConfigError("steps", std::to_string(steps_per_epoch) + " steps per epoch", "give at least 1");
  return std::views::iota(std::int64_t{0}, total) | std::views::transform([=](std::int64_t step) {
           return Progress{.step = step, .steps = total, .steps_per_epoch = steps_per_epoch};
         });
}

}  // namespace thaw
