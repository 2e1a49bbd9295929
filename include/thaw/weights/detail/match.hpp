// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/isclose.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <regex>
#include <span>
#include <string>
#include <string_view>
#include <thaw/core/cast_problem.hpp>
#include <thaw/core/error.hpp>
#include <thaw/core/glob.hpp>
#include <thaw/core/names.hpp>
#include <thaw/weights/load_report.hpp>
#include <thaw/weights/rename.hpp>
#include <thaw/weights/state_dict.hpp>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace thaw::detail {

/// Throws ConfigError for tensors on the meta device, into which copies vanish without a word.
inline void check_memory(const StateDict& model) {
  for (const auto& [name, tensor] : model) {
    if (tensor.is_meta()) {
      throw ConfigError("load_weights", fmt::format("the model's '{}' is on the meta device: it has no memory", name),
                        "make the model on a real device");
    }
  }
}

/// The tensors whose names begin so, without this beginning.
[[nodiscard]] inline StateDict with_prefix(const StateDict& state, const std::string& prefix,
                                           const std::string& where) {
  if (prefix.empty()) return state;
  StateDict rest = with_names(state, [&](const std::string& name) {
    return name.starts_with(prefix) ? std::optional(name.substr(prefix.size())) : std::nullopt;
  });
  if (rest.empty()) {
    constexpr std::string_view stripped = "module.";
    std::string fix = fmt::format("its names are: {}", join_names(state.names(), 6));
    if (prefix.starts_with(stripped)) {
      const std::string left = prefix.substr(stripped.size());
      if (std::ranges::any_of(state, [&](const auto& entry) { return entry.first.starts_with(left); })) {
        fix = fmt::format("{}; thaw::read_weights has left out the \"module.\" that began every name. {}", fix,
                          left.empty() ? "give no .prefix" : fmt::format("give .prefix = \"{}\"", left));
      }
    }
    throw ConfigError(where, fmt::format("no name begins with .prefix = \"{}\"", prefix), std::move(fix));
  }
  return rest;
}

/// The same tensors under the names that the rules make, one rule after the other.
[[nodiscard]] inline StateDict renamed(const StateDict& state, std::span<const Rename> rules,
                                       const std::string& where) {
  if (rules.empty()) return state;
  std::vector<std::pair<std::regex, std::string>> compiled;
  for (const auto& [from, to] : rules) {
    try {
      compiled.emplace_back(std::regex(from), to);
    } catch (const std::regex_error& error) {
      throw ConfigError("load_weights", fmt::format(".rename has no regular expression '{}': {}", from, error.what()),
                        "write an ECMAScript regular expression");
    }
  }
  std::unordered_set<std::string> taken;
  return with_names(state, [&](const std::string& old_name) {
    std::string name = old_name;
    for (const auto& [from, to] : compiled) name = std::regex_replace(name, from, to);
    if (!taken.insert(name).second) {
      throw ConfigError(where, fmt::format(".rename makes '{}' out of two tensors, one of them '{}'", name, old_name),
                        "write narrower expressions");
    }
    return std::optional(std::move(name));
  });
}

/// What goes where: the report of a load that has not happened yet.
struct Match {
  LoadReport report;
  std::vector<std::pair<at::Tensor, at::Tensor>> copies;  ///< to, from
  std::vector<std::string> refused;                       ///< what no option allows: lines for people
};

/// The names by which a model has one tensor, each list in the model's order: tied weights have two.
class TiedNames {
 public:
  explicit TiedNames(const StateDict& model) {
    for (const auto& [name, tensor] : model) {
      if (tensor.numel() > 0) names_[tensor.const_data_ptr()].push_back(name);
    }
  }

  /// The other names of the same tensor.
  [[nodiscard]] std::vector<std::string> others(const StateDict& model, const std::string& name) const {
    std::vector<std::string> result;
    const at::Tensor& tensor = model.at(name);
    const auto found = names_.find(tensor.numel() > 0 ? tensor.const_data_ptr() : nullptr);
    if (found == names_.end()) return result;
    for (const std::string& other : found->second) {
      const at::Tensor& twin = model.at(other);
      if (other != name && twin.sizes() == tensor.sizes() && twin.strides() == tensor.strides())
        result.push_back(other);
    }
    return result;
  }

 private:
  std::unordered_map<const void*, std::vector<std::string>> names_;
};

/// Whether two tensors of a file are the same numbers once they are in `to`.
[[nodiscard]] inline bool same_numbers(const at::Tensor& a, const at::Tensor& b, const at::Tensor& to) {
  if (a.is_same(b)) return true;
  const auto cast = [&](const at::Tensor& tensor) { return tensor.to(to.scalar_type()); };
  return at::isclose(cast(a), cast(b), 0, 0, /*equal_nan=*/true).all().item<bool>();
}

/// Pairs the tensors of equal names. Of a tensor that the model has under several names, one name is enough.
[[nodiscard]] inline Match match(const StateDict& model, const StateDict& file, std::span<const std::string> drop) {
  Match result;
  LoadReport& report = result.report;
  const TiedNames tied(model);
  const auto dropped = [&](const std::string& name) {
    return std::ranges::any_of(drop, [&](const std::string& glob) { return glob_match(glob, name); });
  };
  const auto fits = [&](const std::string& name) {
    const at::Tensor* found = dropped(name) ? nullptr : file.find(name);
    return found != nullptr && found->sizes() == model.at(name).sizes() ? found : nullptr;
  };
  for (const auto& [name, tensor] : model) {
    const at::Tensor* found = file.find(name);
    if (dropped(name)) {
      report.dropped.push_back(name);
    } else if (found == nullptr) {
      const std::vector<std::string> others = tied.others(model, name);
      (std::ranges::any_of(others, fits) ? report.loaded : report.missing).push_back(name);
    } else if (found->sizes() != tensor.sizes()) {
      report.mismatched.push_back({name, tensor.sizes().vec(), found->sizes().vec()});
    } else {
      report.loaded.push_back(name);
      result.copies.emplace_back(tensor, *found);
    }
  }
  const auto surplus = [&](const std::string& name) {
    if (!model.contains(name)) (dropped(name) ? report.dropped : report.unexpected).push_back(name);
  };
  for (const auto& [name, tensor] : file) surplus(name);
  for (const auto& [name, what] : file.unreadable()) surplus(name);
  report.passed_over = file.passed_over();
  return result;
}

/// Fills `refused`: numbers that the model's types cannot hold, and tied tensors that differ. Reads the file's numbers
/// only where types narrow or weights are tied.
inline void refuse_values(Match& match, const StateDict& model, const StateDict& file) {
  const TiedNames tied(model);
  std::unordered_map<std::string, const at::Tensor*> taken;
  for (const std::string& name : match.report.loaded) {
    const at::Tensor* found = file.find(name);
    if (found == nullptr) continue;  // it comes under another of its names
    const at::Tensor& to = model.at(name);
    if (const std::string why = cast_problem(to, *found); !why.empty())
      match.refused.push_back(std::string(name).append(" ").append(why));
    for (const std::string& other : tied.others(model, name)) {
      const auto earlier = taken.find(other);
      if (earlier != taken.end() && !same_numbers(*found, *earlier->second, to)) {
        match.refused.push_back(
            fmt::format("{} and {} are one tensor in the model, and differ in the file", other, name));
      }
    }
    taken.emplace(name, found);
  }
}

}  // namespace thaw::detail
