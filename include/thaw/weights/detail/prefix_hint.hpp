// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thaw/core/error.hpp>
#include <thaw/weights/detail/match.hpp>
#include <thaw/weights/load_report.hpp>
#include <thaw/weights/rename.hpp>
#include <thaw/weights/state_dict.hpp>
#include <vector>

namespace thaw::detail {

/// Files from before PyTorch 0.4.1 lack the batch counts.
[[nodiscard]] inline bool all_expendable(const std::vector<std::string>& missing) {
  return std::ranges::all_of(missing, is_expendable);
}

/// An option that would make more of a file fit. `complete`: then nothing is amiss.
struct PrefixHint {
  std::string option;
  std::size_t fitting = 0, of = 0;
  bool complete = false;
};

/// What stands before names of `inner` where `outer` has them: "model." for "fc.bias" and "model.fc.bias". Told by
/// three names of `inner`, and few: a file may hold any number of names.
[[nodiscard]] inline std::set<std::string> prefixes(const StateDict& outer, const StateDict& inner) {
  constexpr std::size_t most = 12;
  std::set<std::string> found;
  if (inner.empty()) return found;
  const std::vector<std::string> names = inner.names();
  const std::string longest = std::ranges::max(names, {}, &std::string::size);
  for (const std::string& name : std::array{longest, names.front(), names.back()}) {
    for (const auto& [longer, tensor] : outer) {
      if (found.size() < most && longer.ends_with("." + name)) {
        found.insert(longer.substr(0, longer.size() - name.size()));
      }
    }
  }
  return found;
}

/// The prefix with which most of the file fits, if that is more than fits now: the file is of a whole that the model is
/// part of (a Learner's file, Lightning's, torch.compile's), or the other way round.
[[nodiscard]] inline PrefixHint prefix_hint(const StateDict& model, const StateDict& state, const std::string& prefix,
                                            std::span<const Rename> rename, std::span<const std::string> drop,
                                            std::size_t fitting) {
  PrefixHint best{.option = "", .fitting = fitting};
  const auto consider = [&](std::string option, const Match& tried) {
    const LoadReport& report = tried.report;
    if (report.loaded.size() <= best.fitting) return;
    best = {.option = std::move(option),
            .fitting = report.loaded.size(),
            .of = report.loaded.size() + report.missing.size() + report.mismatched.size(),
            .complete = all_expendable(report.missing) && report.unexpected.empty() && report.mismatched.empty()};
  };
  for (const std::string& more : prefixes(state, model)) {
    if (!more.starts_with(prefix) || more == prefix) continue;
    try {
      consider(fmt::format(".prefix = \"{}\"", more),
               match(model, renamed(with_prefix(state, more, "the state dict"), rename, "the state dict"), drop));
    } catch (const ConfigError&) {
      continue;  // without the prefix two names become one: no hint
    }
  }
  if (!prefix.empty() || !rename.empty()) return best;
  for (const std::string& lacking : prefixes(model, state)) {
    const std::vector<Rename> add{{"^", lacking}};
    consider(fmt::format(".rename = {{{{\"^\", \"{}\"}}}}", lacking),
             match(model, renamed(state, add, "the state dict"), drop));
  }
  return best;
}

}  // namespace thaw::detail
