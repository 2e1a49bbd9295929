// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <thaw/find/lr_finder.hpp>
#include <thaw/groups/norm_rule.hpp>
#include <thaw/schedule/one_cycle.hpp>
#include <thaw/schedule/schedule.hpp>
#include <thaw/train/history.hpp>

namespace thaw {

/// How `Learner::fit_until_overfit` goes about it. Each round thaws all groups, runs the LR finder, and trains with
/// rates from lr / lr_mult for the first group to lr for the last. A round whose sweep gives no suggestion, as its loss
/// was not finite in the first steps, takes the rate of the round before; in the first round that is an error.
struct UntilOverfit {
  std::int64_t epochs = 1;  ///< per round
  std::int64_t max_rounds = 10;
  std::int64_t patience = 1;          ///< rounds without a lower validation loss that end it, once training is below it
  double min_delta = 0;               ///< a validation loss counts as lower only by more than this
  std::string suggestion = "valley";  ///< which of the finder's to take: one of suggestion_names()
  LRFinder finder = {};  ///< of each round; for short epochs give it fewer `steps`. Its `rates` are set by lr_mult
  double lr_mult = 100;
  double max_lr = 1e-2;  ///< no round trains faster, whatever the finder suggests
  AnySchedule schedule = OneCycle{};
  NormChange norm = {};
  bool restore_best = true;  ///< end with the weights of the round whose validation loss was lowest
};

/// One round of it.
struct OverfitRound {
  double lr = 0;               ///< of the last group, at its peak
  std::string rate_from = {};  ///< where it came from: the suggestion's name, "max_lr (valley: 0.05)", or "round 1"
  EpochRecord last = {};       ///< its `stage` is "round 1" for the first
};

struct UntilOverfitResult {
  std::vector<OverfitRound> rounds = {};
  std::size_t best = 0;   ///< index in `rounds`, from 0, of that with the lowest validation loss
  std::string stop = {};  ///< why it ended, in words; rounds are called as their stages: rounds[0] is "round 1"
};

}  // namespace thaw
