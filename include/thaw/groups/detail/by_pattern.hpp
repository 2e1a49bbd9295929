// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>
#include <thaw/groups/detail/partition.hpp>
#include <thaw/groups/pattern.hpp>

namespace thaw::detail {

/// Tries names against the patterns of every group, and keeps account of what goes wrong.
class PatternMatcher {
 public:
  explicit PatternMatcher(const std::vector<NamedPatterns>& groups) : groups_(&groups) {}

  /// The first group that matches any of these names of one thing. None or several: noted, and the first group taken.
  std::size_t operator()(const std::vector<std::string>& names) {
    std::vector<std::size_t> matching;
    for (std::size_t g = 0; g < groups_->size(); ++g)
      if (std::ranges::any_of((*groups_)[g].patterns, [&](const Pattern& pattern) {
            return std::ranges::any_of(names, [&](const std::string& name) { return pattern.matches(name); });
          }))
        matching.push_back(g);
    if (matching.empty()) none_.push_back(names.front());
    if (matching.size() > 1) {
      std::string text = names.front() + " (";
      for (const std::size_t g : matching) text += (g == matching.front() ? "" : " and ") + (*groups_)[g].name;
      several_.push_back(text + ")");
    }
    return matching.empty() ? 0 : matching.front();
  }

  /// Throws ConfigError for a pattern without any match, then for what matched several groups, then for what matched
  /// none.
  void check(const std::vector<std::string>& names) const {
    static constexpr auto maker = "LayerGroups::matching";
    if (groups_->empty()) throw ConfigError(maker, "there are no groups", "name one or more");
    for (const NamedPatterns& group : *groups_)
      for (const Pattern& pattern : group.patterns)
        if (std::ranges::none_of(names, [&](const std::string& name) { return pattern.matches(name); }))
          throw ConfigError(maker,
                            "the pattern \"" + pattern.text() + "\" of group \"" + group.name +
                                "\" matches no parameter and no buffer",
                            "the nearest name is \"" + nearest_name(pattern.text(), names) +
                                "\"; a pattern must match a whole name, `*` stands for any text");
    if (!several_.empty())
      throw ConfigError(maker, "in several groups: " + join_names(several_), "narrow the patterns of one of them");
    if (!none_.empty()) throw ConfigError(maker, "in no group: " + join_names(none_), "add patterns that match them");
  }

 private:
  const std::vector<NamedPatterns>* groups_;
  std::vector<std::string> none_, several_;
};

[[nodiscard]] inline Partition partition_matching(const torch::nn::Module& model,
                                                  const std::vector<NamedPatterns>& groups) {
  Partition partition{.maker = "LayerGroups::matching", .names = {}};
  for (const NamedPatterns& group : groups) partition.names.push_back(group.name);
  PatternMatcher match(groups);
  for (const ModuleEntry& entry : module_entries(model)) {
    std::vector<std::string> buffers;
    std::size_t of_module = no_group;  // that of its first parameter, else the one that its buffers' names match
    entry.each_tensor([&](const std::string& name, const std::string&, const at::Tensor& tensor, bool parameter) {
      partition.tensors[name].trainable = tensor.requires_grad();
      if (!parameter) return buffers.push_back(name);
      const std::size_t group = match({name});
      partition.tensors[name].group = group;
      if (of_module == no_group) of_module = group;
    });
    if (of_module == no_group && !buffers.empty()) of_module = match(buffers);
    for (const std::string& buffer : buffers) partition.tensors[buffer].group = of_module;
  }
  std::vector<std::string> names;
  names.reserve(partition.tensors.size());
  for (const auto& [name, place] : partition.tensors) names.push_back(name);
  match.check(names);
  return partition;
}

/// Says of the parameters that any pattern matches, by any of their names, whether weight decay acts on them.
/// Throws ConfigError for a pattern without a match.
inline void set_decay(Partition& partition, const torch::nn::Module& model, const std::vector<Pattern>& patterns,
                      bool decays, const std::string& where) {
  std::unordered_map<const at::TensorImpl*, std::vector<std::string>> names_of;
  std::vector<std::string> names;
  for (const ModuleEntry& entry : module_entries(model))
    entry.each_tensor([&](const std::string& name, const std::string&, const at::Tensor& tensor, bool parameter) {
      if (parameter) names_of[tensor.unsafeGetTensorImpl()].push_back(name), names.push_back(name);
    });
  for (const Pattern& pattern : patterns)
    if (std::ranges::none_of(names, [&](const std::string& name) { return pattern.matches(name); }))
      throw ConfigError(where, "the pattern \"" + pattern.text() + "\" matches no parameter",
                        "the nearest name is \"" + nearest_name(pattern.text(), names) +
                            "\"; a pattern must match a whole name, `*` stands for any text");
  for (const auto& [tensor, all] : names_of) {  // NOLINT(bugprone-nondeterministic-pointer-iteration-order): each alone
    const bool meant = std::ranges::any_of(all, [&](const std::string& name) {
      return std::ranges::any_of(patterns, [&](const Pattern& pattern) { return pattern.matches(name); });
    });
    if (!meant) continue;
    for (const std::string& name : all) partition.tensors.at(name).decays = decays;
  }
}

}  // namespace thaw::detail
