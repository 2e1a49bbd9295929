#pragma once

#include <c10/util/Exception.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>
#include <thaw/groups/layer_group.hpp>

namespace thaw::detail {

/// A module of the model, by its dotted name; the model itself comes first, with an empty name.
struct ModuleEntry {
  std::string name;
  std::shared_ptr<torch::nn::Module> module;

  [[nodiscard]] std::string full(const std::string& tensor) const {
    return name.empty() ? tensor : name + "." + tensor;
  }

  /// Visits its own tensors: `visit(full name, own name, tensor, whether it is a parameter)`.
  template <class Visit>
  void each_tensor(Visit visit) const {
    for (const auto& buffer : module->named_buffers(/*recurse=*/false))
      if (buffer.value().defined()) visit(full(buffer.key()), buffer.key(), buffer.value(), false);
    for (const auto& parameter : module->named_parameters(/*recurse=*/false))
      if (parameter.value().defined()) visit(full(parameter.key()), parameter.key(), parameter.value(), true);
  }
};

/// Every module in the order of registration.
[[nodiscard]] inline std::vector<ModuleEntry> module_entries(const torch::nn::Module& model) {
  std::vector<ModuleEntry> entries;
  for (const auto& entry : model.named_modules()) entries.push_back({entry.key(), entry.value()});
  return entries;
}

/// Where each tensor belongs, by each of its names; holds for any module with the same names.
struct Partition {
  struct Place {
    std::size_t group = 0;
    bool trainable = true;
  };
  std::string maker;               ///< what errors name
  std::vector<std::string> names;  ///< of the groups
  std::map<std::string, Place> tensors = {};
};

/// For a module that is in no group, which is right for one without tensors only.
inline constexpr std::size_t no_group = static_cast<std::size_t>(-1);

/// The partition in which all of a module's own tensors go where the module goes.
[[nodiscard]] inline Partition partition_by_module(std::string maker, std::vector<std::string> names,
                                                   const std::vector<ModuleEntry>& entries,
                                                   const std::vector<std::size_t>& group_of) {
  Partition partition{.maker = std::move(maker), .names = std::move(names)};
  for (std::size_t i = 0; i < entries.size(); ++i)
    entries[i].each_tensor([&](const std::string& name, const std::string&, const at::Tensor& tensor, bool) {
      partition.tensors[name] = {.group = group_of[i], .trainable = tensor.requires_grad()};
    });
  return partition;
}

/// Weight decay leaves vectors and biases alone, and elementwise scales of any number of dimensions, such as
/// LayerNorm's: a weight that has the shape of its bias. By shape, so that it is true of subclasses and of modules from
/// Python as well, without LayerNorm's header.
[[nodiscard]] inline bool is_decayed(const torch::nn::Module& layer, const std::string& name,
                                     const at::Tensor& tensor) {
  if (tensor.dim() <= 1 || name == "bias") return false;
  const auto parameters = layer.named_parameters(/*recurse=*/false);
  const at::Tensor* const bias = parameters.find("bias");
  return name != "weight" || bias == nullptr || bias->sizes() != tensor.sizes();
}

/// The groups of a model: tensors in the order of registration, a shared one in the first group that has it.
/// Throws ConfigError for a group without parameters.
[[nodiscard]] inline std::vector<LayerGroup> fill_groups(const torch::nn::Module& model, const Partition& partition) {
  const std::vector<ModuleEntry> entries = module_entries(model);
  std::unordered_map<const at::TensorImpl*, std::size_t> home;
  for (const ModuleEntry& entry : entries)
    entry.each_tensor([&](const std::string& name, const std::string&, const at::Tensor& tensor, bool) {
      const std::size_t group = partition.tensors.at(name).group;
      std::size_t& first = home.try_emplace(tensor.unsafeGetTensorImpl(), group).first->second;
      first = std::min(first, group);
    });

  std::vector<LayerGroup> groups(partition.names.size());
  for (std::size_t i = 0; i < groups.size(); ++i) groups[i].name = partition.names[i];
  std::unordered_set<const void*> placed;
  for (const ModuleEntry& entry : entries) {
    const auto buffers = entry.module->named_buffers(/*recurse=*/false);
    const at::Tensor* const statistics = buffers.find("running_mean");
    // a model that keeps statistics of its input, say, is no norm layer: eval() would reach all that is below it
    const bool is_norm = statistics != nullptr && statistics->defined() && entry.module->children().empty();
    if (is_norm && placed.insert(entry.module.get()).second)
      groups[home.at(statistics->unsafeGetTensorImpl())].norms.push_back(entry.module);
    entry.each_tensor([&](const std::string& name, const std::string& own, const at::Tensor& tensor, bool parameter) {
      const auto [group, trainable] = partition.tensors.at(name);
      if (group != home.at(tensor.unsafeGetTensorImpl()) || !placed.insert(tensor.unsafeGetTensorImpl()).second) return;
      if (parameter)
        groups[group].parameters.push_back({.name = name,
                                            .tensor = tensor,
                                            .of_norm = is_norm,
                                            .decays = !is_norm && is_decayed(*entry.module, own, tensor),
                                            .trainable = trainable});
      else
        groups[group].buffers.emplace_back(name, tensor);
    });
  }
  for (std::size_t i = 0; i < groups.size(); ++i)
    if (groups[i].parameters.empty())
      throw ConfigError(partition.maker,
                        "group " + std::to_string(i) + " (\"" + groups[i].name + "\") has no parameters of its own",
                        "move its border, or leave it out");
  for (const LayerGroup& group : groups)
    if (std::ranges::none_of(group.parameters, &GroupParameter::trainable)) {
      TORCH_WARN("thaw: ", partition.maker, ": no parameter of group \"", group.name,
                 "\" requires a gradient, so it never trains; if other groups froze it, thaw those first: "
                 "thaw::apply(thaw::Unfrozen{}, groups)");
    }
  return groups;
}

/// Throws ConfigError, naming the differences, unless the model has the tensors of the partition.
inline void check_same_names(const torch::nn::Module& model, const Partition& partition) {
  std::vector<std::string> missing, extra;
  std::unordered_set<std::string> found;
  for (const ModuleEntry& entry : module_entries(model))
    entry.each_tensor([&](const std::string& name, const std::string&, const at::Tensor&, bool) {
      found.insert(name);
      if (!partition.tensors.contains(name)) extra.push_back(name);
    });
  for (const auto& [name, place] : partition.tensors)
    if (!found.contains(name)) missing.push_back(name);
  if (missing.empty() && extra.empty()) return;
  std::string problem = "the other module has other names";
  if (!missing.empty()) problem += "; it lacks " + join_names(missing);
  if (!extra.empty()) problem += "; it also has " + join_names(extra);
  throw ConfigError("LayerGroups::rebind", problem, "give a clone of the model, or make its groups anew");
}

}  // namespace thaw::detail
