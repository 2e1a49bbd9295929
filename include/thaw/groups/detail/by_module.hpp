// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/glob.hpp>
#include <thaw/core/names.hpp>
#include <thaw/groups/detail/partition.hpp>
#include <thaw/groups/module_ref.hpp>

namespace thaw::detail {

inline ConfigError unknown_module(const std::string& name, const std::vector<ModuleEntry>& entries) {
  std::vector<std::string> modules;  // but the model itself
  for (std::size_t i = 1; i < entries.size(); ++i) modules.push_back(entries[i].name);
  // What may stand where the name goes wrong: the children of its longest part that exists.
  std::string parent = name;
  do parent.resize(parent.rfind('.') == std::string::npos ? 0 : parent.rfind('.'));
  while (!parent.empty() && std::ranges::find(modules, parent) == modules.end());
  const std::string prefix = parent.empty() ? "" : parent + ".";
  std::vector<std::string> siblings;
  for (const std::string& module : modules)
    if (module.starts_with(prefix) && module.find('.', prefix.size()) == std::string::npos) siblings.push_back(module);
  return {"LayerGroups::cut_before", "the model has no module \"" + name + "\"",
          "did you mean \"" + nearest_name(name, modules) + "\"? " +
              (parent.empty() ? "Its children are: " : "\"" + parent + "\" holds: ") + join_names(siblings, 40)};
}

/// Whether a pattern of as many parts between dots matches a name, part by part.
[[nodiscard]] inline bool matches_by_part(std::string_view pattern, std::string_view name) {
  for (;;) {
    const std::size_t p = pattern.find('.'), n = name.find('.');
    constexpr std::size_t none = std::string_view::npos;
    if ((p == none) != (n == none) || !glob_match(pattern.substr(0, p), name.substr(0, n))) return false;
    if (p == none) return true;
    pattern.remove_prefix(p + 1);
    name.remove_prefix(n + 1);
  }
}

/// The names, and for each pattern those of the modules that it matches, but of such as hold no parameters.
[[nodiscard]] inline std::vector<std::string> expanded(const std::vector<ModuleEntry>& entries,
                                                       const std::vector<std::string>& names) {
  std::vector<std::string> result;
  for (const std::string& name : names) {
    const std::size_t before = result.size();
    if (name.find_first_of("*?") != std::string::npos)
      for (const ModuleEntry& entry : entries)
        if (!entry.name.empty() && matches_by_part(name, entry.name) && !entry.module->parameters().empty())
          result.push_back(entry.name);
    if (result.size() == before) result.push_back(name);  // a name, or a pattern that cut_positions says is none
  }
  return result;
}

/// Where each cut lies in the entries.
[[nodiscard]] inline std::vector<std::size_t> cut_positions(const std::vector<ModuleEntry>& entries,
                                                            const std::vector<std::string>& cuts) {
  std::unordered_map<std::string, std::size_t> position_of;
  for (std::size_t i = 1; i < entries.size(); ++i) position_of.emplace(entries[i].name, i);
  std::vector<std::size_t> positions;
  for (const std::string& cut : cuts) {
    const auto found = position_of.find(cut);
    if (found == position_of.end()) throw unknown_module(cut, entries);
    positions.push_back(found->second);
    if (positions.size() > 1 && positions.back() <= positions[positions.size() - 2])
      throw ConfigError("LayerGroups::cut_before",
                        "\"" + cut + "\" does not come after \"" + cuts[positions.size() - 2] + "\" in the model",
                        "give the names in the order in which the modules are registered, each once");
  }
  return positions;
}

/// Each group's first module.
[[nodiscard]] inline std::vector<std::string> first_names(const std::vector<ModuleEntry>& entries,
                                                          const std::vector<std::size_t>& group_of, std::size_t count) {
  std::vector<std::string> names(count);
  for (std::size_t i = 1; i < entries.size(); ++i)
    if (group_of[i] != no_group && names[group_of[i]].empty()) names[group_of[i]] = entries[i].name;
  for (std::string& name : names)
    if (name.empty()) name = entries[0].module->name();
  return names;
}

[[nodiscard]] inline Partition partition_before(const torch::nn::Module& model, const std::vector<std::string>& cuts,
                                                std::string maker = "LayerGroups::cut_before") {
  const std::vector<ModuleEntry> entries = module_entries(model);
  const std::vector<std::size_t> positions = cut_positions(entries, expanded(entries, cuts));
  std::vector<std::size_t> group_of(entries.size());
  std::size_t now = 0;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (now < positions.size() && positions[now] == i) ++now;
    group_of[i] = now;
  }
  return partition_by_module(std::move(maker), first_names(entries, group_of, positions.size() + 1), entries, group_of);
}

[[nodiscard]] inline Partition partition_at(const torch::nn::Module& model, const std::vector<std::size_t>& indices) {
  const std::vector<std::string> children = model.named_children().keys();
  std::vector<std::string> cuts;
  for (std::size_t i = 0; i < indices.size(); ++i) {
    if (indices[i] == 0 || indices[i] >= children.size())
      throw ConfigError("LayerGroups::cut_at",
                        "index " + std::to_string(indices[i]) + " of " + std::to_string(children.size()) + " modules",
                        "a cut lies before a module: take a number from 1 to the last index");
    if (i > 0 && indices[i] <= indices[i - 1])
      throw ConfigError("LayerGroups::cut_at",
                        "index " + std::to_string(indices[i]) + " comes after " + std::to_string(indices[i - 1]),
                        "give the indices in ascending order, each once");
    cuts.push_back(children[indices[i]]);
  }
  return partition_before(model, cuts, "LayerGroups::cut_at");
}

[[nodiscard]] inline Partition partition_per_child(const torch::nn::Module& model) {
  const std::vector<ModuleEntry> entries = module_entries(model);
  std::unordered_set<const at::TensorImpl*> seen;
  const auto brings_parameters = [&](const std::vector<at::Tensor>& parameters) {
    return std::ranges::count_if(parameters, [&](const at::Tensor& tensor) {
             return seen.insert(tensor.unsafeGetTensorImpl()).second;
           }) > 0;
  };
  (void)brings_parameters(model.parameters(/*recurse=*/false));  // the model's own go with its first child

  std::vector<std::string> names;
  std::unordered_map<std::string, std::size_t> group_of_child;
  for (const auto& child : model.named_children()) {
    if (brings_parameters(child.value()->parameters())) names.push_back(child.key());
    group_of_child[child.key()] = names.empty() ? 0 : names.size() - 1;
  }
  if (names.empty()) names.push_back(model.name());
  std::vector<std::size_t> group_of(entries.size());
  for (std::size_t i = 1; i < entries.size(); ++i)
    group_of[i] = group_of_child.at(entries[i].name.substr(0, entries[i].name.find('.')));
  return partition_by_module("LayerGroups::per_child", std::move(names), entries, group_of);
}

[[nodiscard]] inline Partition partition_of_modules(const torch::nn::Module& model,
                                                    const std::vector<std::vector<ModuleRef>>& groups) {
  static constexpr auto maker = "LayerGroups::of_modules";
  const std::vector<ModuleEntry> entries = module_entries(model);
  std::unordered_map<const torch::nn::Module*, std::string> name_of;
  for (const ModuleEntry& entry : entries) name_of.emplace(entry.module.get(), entry.name);

  std::unordered_map<const torch::nn::Module*, std::size_t> claimed;
  for (std::size_t g = 0; g < groups.size(); ++g)
    for (std::size_t m = 0; m < groups[g].size(); ++m) {
      const auto& given = groups[g][m].ptr();
      if (given == nullptr || !name_of.contains(given.get()))
        throw ConfigError(maker,
                          "module " + std::to_string(m) + " of group " + std::to_string(g) +
                              (given == nullptr ? " is empty" : " (" + given->name() + ") is not in the model"),
                          "give modules that the model has registered; after replacing one, give the new one");
      for (const auto& module : given->modules())
        if (const auto [owner, fresh] = claimed.emplace(module.get(), g); !fresh && owner->second != g)
          throw ConfigError(maker,
                            "\"" + name_of[module.get()] + "\" is in the groups " + std::to_string(owner->second) +
                                " and " + std::to_string(g),
                            "a module brings all that is below it; give each once");
    }

  std::vector<std::size_t> group_of(entries.size(), no_group);
  std::vector<std::string> left_out;
  for (std::size_t i = 0; i < entries.size(); ++i)
    if (const auto owner = claimed.find(entries[i].module.get()); owner != claimed.end())
      group_of[i] = owner->second;
    else
      entries[i].each_tensor(
          [&](const std::string& name, const std::string&, const at::Tensor&, bool) { left_out.push_back(name); });
  if (!left_out.empty())
    throw ConfigError(maker, "in no group: " + join_names(left_out),
                      "add the modules that hold them; for a model's own tensors take cut_before or matching");
  return partition_by_module(maker, first_names(entries, group_of, groups.size()), entries, group_of);
}

}  // namespace thaw::detail
