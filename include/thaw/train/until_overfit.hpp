#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <thaw/groups/norm_rule.hpp>
#include <thaw/schedule/one_cycle.hpp>
#include <thaw/schedule/schedule.hpp>
#include <thaw/train/history.hpp>

namespace thaw {

/// How `Learner::fit_until_overfit` goes about it. Each round thaws all groups, runs the LR finder, and trains with
/// rates from lr / lr_mult for the first group to lr for the last.
struct UntilOverfit {
  std::int64_t epochs = 1;  ///< per round
  std::int64_t max_rounds = 10;
  std::int64_t patience = 1;          ///< rounds without a lower validation loss that end it, once training is below it
  double min_delta = 0;               ///< a validation loss counts as lower only by more than this
  std::string suggestion = "valley";  ///< which of the finder's suggestions to take as lr
  double lr_mult = 100;
  double max_lr = 1e-2;  ///< no round trains faster, whatever the finder says; also taken when it says nothing
  AnySchedule schedule = OneCycle{};
  NormRule norm = {};
  bool restore_best = true;  ///< end with the weights of the round whose validation loss was lowest
};

/// One round of it.
struct OverfitRound {
  double lr = 0;  ///< of the last group, at its peak
  EpochRecord last = {};
};

struct UntilOverfitResult {
  std::vector<OverfitRound> rounds = {};
  std::size_t best = 0;   ///< the round with the lowest validation loss
  std::string stop = {};  ///< why it ended, in words
};

}  // namespace thaw
