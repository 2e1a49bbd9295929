// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/groups/freeze_policy.hpp>
#include <thaw/groups/norm_rule.hpp>
#include <thaw/groups/rates.hpp>
#include <thaw/schedule/one_cycle.hpp>
#include <thaw/schedule/schedule.hpp>
#include <thaw/train/cache.hpp>

namespace thaw {

/// Weight decay over a stage, of all layer groups: `value` times the schedule's multiplier; what a schedule says of
/// momentum does not count. Units: as the optimizer's own.
///
///     .weight_decay = 0.05
///     .weight_decay = WeightDecay(0.4, [](double t) { return anneal_cosine(0.1, 1, t); })  // from 0.04 to 0.4
struct WeightDecay {
  double value;
  AnySchedule schedule = Constant{};

  WeightDecay(double constant) : value(constant) {}
  WeightDecay(double peak, AnySchedule over) : value(peak), schedule(std::move(over)) {}

  [[nodiscard]] double operator()(const Progress& at) const { return value * schedule(at).lr; }
};

/// One stage of a run: what is frozen, how fast each group learns, how the rate moves. A plan is a std::vector<Stage>.
struct Stage {
  std::string name = "fit";
  std::int64_t epochs = 1;
  AnyFreezePolicy freeze = {};        ///< empty: as the previous stage, or freeze()/unfreeze(), left it
  DiscriminativeLR lr = 1e-3;         ///< peak rate per group, absolute
  AnySchedule schedule = OneCycle{};  ///< moves rates and momentum over the stage's optimizer steps
  NormChange norm = {};               ///< of norm layers with running statistics; what is left empty stays as it was
  bool reset_optimizer = false;       ///< forget all optimizer state first; otherwise only what was just thawed
  Cache cache = {};                   ///< run the frozen part over the data once, and keep what it gives
  /// At most so many batches of training data per epoch, the first ones of its pass; none: all of them. Schedules end
  /// with the last of these. Lightning's `limit_train_batches`.
  std::optional<std::int64_t> max_batches = {};
  /// Of what decays at all: norm layers, biases and vectors stay exempt. None: the optimizer's own, which is also what
  /// LR finders take, and which comes back as the stage ends.
  std::optional<WeightDecay> weight_decay = {};
  std::vector<std::string> why = {};  ///< why it is as it is, in words: the first of StageRecord::notes
};

/// What fastai's `fine_tune` may be told, with its defaults.
struct FineTune {
  std::int64_t freeze_epochs = 1;
  double lr_mult = 100;    ///< last group's rate / first group's, once thawed
  double pct_start = 0.3;  ///< once thawed
  double div = 5;          ///< once thawed
  NormChange norm = {};    ///< fastai's own is {.frozen = Norm::train}
  double div_final = 1e5;  ///< of both stages
  double momentum_high = 0.95, momentum_low = 0.85;  ///< of both stages; fastai's `moms`
};

/// fastai's `fine_tune(epochs, base_lr)` as a plan: `freeze_epochs` of the last group alone at base_lr, pct_start 0.99;
/// then `epochs` of all groups from base_lr/2/lr_mult to base_lr/2. fastai forgets the optimizer's state each time.
[[nodiscard]] inline std::vector<Stage> fine_tune_plan(std::int64_t epochs, double base_lr, const FineTune& how = {}) {
  return {{.name = "frozen",
           .epochs = how.freeze_epochs,
           .freeze = FreezeTo{-1},
           .lr = DiscriminativeLR::slice(base_lr),
           .schedule = OneCycle{.pct_start = 0.99,
                                .div_final = how.div_final,
                                .momentum_high = how.momentum_high,
                                .momentum_low = how.momentum_low},
           .norm = how.norm,
           .reset_optimizer = true},
          {.name = "thawed",
           .epochs = epochs,
           .freeze = Unfrozen{},
           .lr = DiscriminativeLR::slice(base_lr / 2 / how.lr_mult, base_lr / 2),
           .schedule = OneCycle{.pct_start = how.pct_start,
                                .div = how.div,
                                .div_final = how.div_final,
                                .momentum_high = how.momentum_high,
                                .momentum_low = how.momentum_low},
           .norm = how.norm,
           .reset_optimizer = true}};
}

}  // namespace thaw
