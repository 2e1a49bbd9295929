// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The loop of loops.

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/names.hpp>
#include <thaw/find/suggest.hpp>
#include <thaw/find/suggestion.hpp>
#include <thaw/train/detail/learner_parts.hpp>
#include <thaw/train/learner.hpp>

#if THAW_DEFINES(train)

namespace thaw::detail {

/// Throws ConfigError for what no round could be run by.
inline void check(const UntilOverfit& how) {
  const std::string where = "Learner::fit_until_overfit";
  if (how.max_rounds < 1 || how.patience < 1)
    throw ConfigError(where,
                      std::to_string(how.max_rounds) + " rounds with a patience of " + std::to_string(how.patience),
                      "give at least 1 of each");
  if (!(how.max_lr > 0 && how.lr_mult > 0))
    throw ConfigError(where, "max_lr is " + number(how.max_lr) + " and lr_mult " + number(how.lr_mult),
                      "give more than 0 for each");
  const std::vector<std::string> names = suggestion_names();
  if (std::ranges::find(names, how.suggestion) == names.end())
    throw ConfigError(where, "there is no suggestion \"" + how.suggestion + "\"",
                      "did you mean \"" + nearest_name(how.suggestion, names) + "\"? There are: " + join_names(names));
  how.finder.check();
}

/// What a curve says of a round's rate, or else the round before. The rate, and `rate_from`.
inline OverfitRound rate_of_round(const UntilOverfit& how, const LRCurve& curve, const UntilOverfitResult& before) {
  const std::optional<double> suggested = suggestion(curve, how.suggestion);
  if (suggested && *suggested <= how.max_lr) return {.lr = *suggested, .rate_from = how.suggestion};
  if (suggested) return {.lr = how.max_lr, .rate_from = "max_lr (" + how.suggestion + ": " + number(*suggested) + ")"};
  if (before.rounds.empty())
    throw ConfigError("Learner::fit_until_overfit",
                      "the finder gives no \"" + how.suggestion + "\": its sweep ended after " +
                          std::to_string(curve.lr.size()) + " of " + std::to_string(curve.planned) + " steps",
                      "give finder a smaller start_lr or more steps, or look at the model's first loss");
  return {.lr = before.rounds.back().lr, .rate_from = before.rounds.back().last.stage};
}

/// Why no more rounds are run although patience is left.
inline std::string out_of_rounds(const UntilOverfit& how, double train_loss, double valid_loss,
                                 const std::string& best) {
  const bool overfits = train_loss < valid_loss;
  return "all " + std::to_string(how.max_rounds) + " rounds are done; training loss " + number(train_loss) +
         (overfits ? " is below validation loss " : " is not below validation loss ") + number(valid_loss) +
         (overfits ? ", which was lowest in " + best + "; more rounds may lower it"
                   : ": the network does not overfit yet");
}

THAW_INLINE UntilOverfitResult fit_until_overfit(LearnerParts& parts, const UntilOverfit& how) {
  parts.refuse_in_callback("Learner::fit_until_overfit");
  if (!parts.data.valid())
    throw DataError("Learner::fit_until_overfit", "there is no validation data",
                    "give LearnerOptions::valid: overfitting shows there alone");
  check(how);
  Learner& learner = parts.learner;
  std::optional<WeightCopy>& best_round = parts.log.best_round;
  LRFinder finder = how.finder;
  finder.rates = DiscriminativeLR::slice(1 / how.lr_mult, 1);
  UntilOverfitResult result;
  double best_loss = std::numeric_limits<double>::infinity();
  if (!parts.log.resumed) best_round.reset();
  while (result.stop.empty()) {
    const auto round = static_cast<std::int64_t>(result.rounds.size());
    learner.unfreeze(how.norm);
    OverfitRound next = rate_of_round(how, learner.find_lr(finder), result);
    const double lr = next.lr;
    const EpochRecord last = learner.fit({.name = "round " + std::to_string(round + 1),
                                          .epochs = how.epochs,
                                          .freeze = Unfrozen{},
                                          .lr = DiscriminativeLR::slice(lr / how.lr_mult, lr),
                                          .schedule = how.schedule,
                                          .norm = how.norm});
    next.last = last;
    result.rounds.push_back(std::move(next));
    const double valid = last.valid.value().loss;
    if (valid < best_loss - how.min_delta || round == 0) {
      best_loss = valid;
      result.best = static_cast<std::size_t>(round);
      if (how.restore_best && !parts.log.replays())
        best_round.emplace(*parts.setup.groups.module());  // else the checkpoint has it
    }
    const auto best_stage = [&] { return result.rounds[result.best].last.stage; };
    const auto since_best = round - static_cast<std::int64_t>(result.best);
    if (!last.stop.empty())
      result.stop = last.stop;
    else if (last.train_loss < valid && since_best >= how.patience)
      result.stop = "training loss " + number(last.train_loss) + " is below validation loss " + number(valid) +
                    ", which was lowest in " + best_stage() + " (" + number(best_loss) + ")";
    else if (round + 1 == how.max_rounds)
      result.stop = out_of_rounds(how, last.train_loss, valid, best_stage() + " (" + number(best_loss) + ")");
  }
  if (best_round) best_round->restore();
  best_round.reset();
  return result;
}

}  // namespace thaw::detail

#endif
