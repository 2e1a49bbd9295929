#pragma once

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <regex>
#include <span>
#include <string>
#include <string_view>
#include <thaw/core/error.hpp>
#include <thaw/core/glob.hpp>
#include <thaw/core/names.hpp>
#include <thaw/weights/load_report.hpp>
#include <thaw/weights/rename.hpp>
#include <thaw/weights/state_dict.hpp>
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
  StateDict rest;
  for (const auto& [name, tensor] : state) {
    if (name.starts_with(prefix)) rest.insert(name.substr(prefix.size()), tensor);
  }
  if (rest.empty()) {
    throw ConfigError(where, fmt::format("no name begins with .prefix = \"{}\"", prefix),
                      fmt::format("its names are: {}", join_names(state.names(), 6)));
  }
  return rest;
}

/// The same tensors under the names that the rules make, one rule after the other.
[[nodiscard]] inline StateDict renamed(const StateDict& state, std::span<const Rename> rules,
                                       const std::string& where) {
  std::vector<std::pair<std::regex, std::string>> compiled;
  for (const auto& [from, to] : rules) {
    try {
      compiled.emplace_back(std::regex(from), to);
    } catch (const std::regex_error& error) {
      throw ConfigError("load_weights", fmt::format(".rename has no regular expression '{}': {}", from, error.what()),
                        "write an ECMAScript regular expression");
    }
  }
  StateDict result;
  for (const auto& [old_name, tensor] : state) {
    std::string name = old_name;
    for (const auto& [from, to] : compiled) name = std::regex_replace(name, from, to);
    if (result.contains(name)) {
      throw ConfigError(where, fmt::format(".rename makes '{}' out of two tensors, one of them '{}'", name, old_name),
                        "write narrower expressions");
    }
    result.insert(std::move(name), tensor);
  }
  return result;
}

/// What goes where: the report of a load that has not happened yet.
struct Match {
  LoadReport report;
  std::vector<std::pair<at::Tensor, at::Tensor>> copies;  ///< to, from
};

[[nodiscard]] inline Match match(const StateDict& model, const StateDict& file, std::span<const std::string> drop) {
  Match result;
  LoadReport& report = result.report;
  const auto dropped = [&](const std::string& name) {
    return std::ranges::any_of(drop, [&](const std::string& glob) { return glob_match(glob, name); });
  };
  for (const auto& [name, tensor] : model) {
    const at::Tensor* found = file.find(name);
    if (dropped(name)) {
      report.dropped.push_back(name);
    } else if (found == nullptr) {
      report.missing.push_back(name);
    } else if (found->sizes() != tensor.sizes()) {
      report.mismatched.push_back({name, tensor.sizes().vec(), found->sizes().vec()});
    } else {
      report.loaded.push_back(name);
      result.copies.emplace_back(tensor, *found);
    }
  }
  for (const auto& [name, tensor] : file) {
    if (!model.contains(name)) (dropped(name) ? report.dropped : report.unexpected).push_back(name);
  }
  return result;
}

}  // namespace thaw::detail
