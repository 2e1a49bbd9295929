#pragma once

// The loop of loops: a member of Learner. Included by thaw/train/learner.hpp alone.

#include <algorithm>
#include <limits>
#include <optional>

#include <thaw/find/suggest.hpp>
#include <thaw/train/learner.hpp>

namespace thaw {

inline UntilOverfitResult Learner::fit_until_overfit(const UntilOverfit& how) {
  if (!data_.valid)
    throw DataError("Learner::fit_until_overfit", "there is no validation data",
                    "give LearnerOptions::valid: overfitting shows there alone");
  if (how.max_rounds < 1 || how.patience < 1)
    throw ConfigError("Learner::fit_until_overfit",
                      std::to_string(how.max_rounds) + " rounds with a patience of " + std::to_string(how.patience),
                      "give at least 1 of each");
  UntilOverfitResult result;
  double best_loss = std::numeric_limits<double>::infinity();
  if (!resumed_) best_round_.reset();
  while (result.stop.empty()) {
    const auto round = static_cast<std::int64_t>(result.rounds.size());
    unfreeze(how.norm);
    const LRCurve curve = find_lr({.rates = DiscriminativeLR::slice(1 / how.lr_mult, 1)});
    const double lr = std::min(suggestion(curve, how.suggestion).value_or(how.max_lr), how.max_lr);
    const EpochRecord last = fit({.name = "round " + std::to_string(round + 1),
                                  .epochs = how.epochs,
                                  .freeze = Unfrozen{},
                                  .lr = DiscriminativeLR::slice(lr / how.lr_mult, lr),
                                  .schedule = how.schedule,
                                  .norm = how.norm});
    result.rounds.push_back({.lr = lr, .last = last});
    const double valid = last.valid.value().loss;
    if (valid < best_loss - how.min_delta || round == 0) {
      best_loss = valid;
      result.best = static_cast<std::size_t>(round);
      if (how.restore_best && !replays()) best_round_.emplace(*groups_.module());  // else the checkpoint has it
    }
    const auto since_best = round - static_cast<std::int64_t>(result.best);
    if (!last.stop.empty())
      result.stop = last.stop;
    else if (last.train_loss < valid && since_best >= how.patience)
      result.stop = "training loss " + detail::number(last.train_loss) + " is below validation loss " +
                    detail::number(valid) + ", which was lowest in round " + std::to_string(result.best + 1) + " (" +
                    detail::number(best_loss) + ")";
    else if (round + 1 == how.max_rounds)
      result.stop = "all " + std::to_string(how.max_rounds) + " rounds are done; the network does not overfit yet";
  }
  if (best_round_) best_round_->restore();
  best_round_.reset();
  return result;
}

}  // namespace thaw
