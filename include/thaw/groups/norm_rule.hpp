// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <optional>

namespace thaw {

struct NormChange;

/// What a normalisation layer that keeps running statistics (batch, instance, sync norm) does while training.
enum class Norm {
  hold,   ///< normalises by its running statistics, which do not move (eval mode)
  track,  ///< statistics move; in a frozen group its weight and bias do not train
  train,  ///< statistics move, and its weight and bias train, in a frozen group too (fastai's `train_bn`)
};

/// One rule for frozen groups, one for thawed ones (where weight and bias always train, and `track` equals `train`).
///
/// Frozen groups hold by default: frozen then means bit-identical, buffers included. Hold everywhere
/// (`hold_everywhere`) when few steps follow or the network's norm momentum is small: its running statistics could
/// not keep up with batch statistics.
struct NormRule {
  Norm frozen = Norm::hold;
  Norm thawed = Norm::train;

  /// What those of a group do that is frozen, or not.
  [[nodiscard]] constexpr Norm of(bool is_frozen) const { return is_frozen ? frozen : thawed; }
  constexpr bool operator==(const NormRule&) const = default;
  constexpr operator NormChange() const;
};

/// What a stage, or a call that freezes, says about the rule: what it leaves empty stays as it was.
struct NormChange {
  std::optional<Norm> frozen = {}, thawed = {};

  [[nodiscard]] constexpr NormRule over(NormRule before) const {
    return {.frozen = frozen.value_or(before.frozen), .thawed = thawed.value_or(before.thawed)};
  }
  constexpr bool operator==(const NormChange&) const = default;
};

constexpr NormRule::operator NormChange() const {
  return {.frozen = frozen, .thawed = thawed};
}

inline constexpr NormRule hold_everywhere{.frozen = Norm::hold, .thawed = Norm::hold};

}  // namespace thaw
