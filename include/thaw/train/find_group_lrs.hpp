// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/find/lr_curve.hpp>
#include <thaw/find/lr_finder.hpp>
#include <thaw/find/suggest.hpp>
#include <thaw/groups/rates.hpp>
#include <thaw/train/learner.hpp>

namespace thaw {

/// One layer group alone: its curve while all others stand still, and the rate that follows.
struct GroupLR {
  std::string name = {};
  LRCurve curve = {};                        ///< empty for a group that is frozen
  std::optional<Suggestion> suggested = {};  ///< none where it is frozen, or its curve says nothing
};

struct GroupLRs {
  std::vector<GroupLR> groups = {};  ///< in the order of the layer groups
  /// lr_g = s_g / n, where s_g is what group g's curve recommends and n the number of thawed groups: what the groups
  /// do to the loss adds up. 0 for frozen groups. None where the curve of a thawed group says nothing.
  std::optional<DiscriminativeLR> lr = {};
};

/// Runs the LR finder once for each thawed layer group, with only that group moving, and makes discriminative rates of
/// what it finds. Nothing is left changed: see Learner::find_lr. Costs as many sweeps as groups are thawed;
/// `finder.rates` is not used.
///
///     learner.unfreeze(thaw::hold_everywhere);
///     if (const auto found = thaw::find_group_lrs(learner); found.lr) learner.fit({.epochs = 5, .lr = *found.lr});
template <class... Callbacks>
[[nodiscard]] GroupLRs find_group_lrs(Learner& learner, LRFinder finder = {}, Callbacks... callbacks) {
  const std::vector<bool> frozen = learner.groups().frozen();
  GroupLRs result;
  std::vector<double> rates(frozen.size(), 0.0);
  double thawed = 0, found = 0;
  for (std::size_t i = 0; i < frozen.size(); ++i) {
    GroupLR& group = result.groups.emplace_back(GroupLR{.name = learner.groups()[i].name});
    if (frozen[i]) continue;
    std::vector<double> alone(frozen.size(), 0.0);
    alone[i] = 1;
    finder.rates = DiscriminativeLR::each(std::move(alone));
    group.curve = learner.find_lr(finder, callbacks...);
    group.suggested = recommended(group.curve);
    ++thawed;
    if (!group.suggested) continue;
    rates[i] = group.suggested->lr;
    ++found;
  }
  if (thawed == 0 || found < thawed) return result;
  for (double& rate : rates) rate /= thawed;
  result.lr = DiscriminativeLR::each(std::move(rates));
  return result;
}

}  // namespace thaw
