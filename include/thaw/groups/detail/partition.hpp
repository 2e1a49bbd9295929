// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <c10/util/Exception.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>
#include <thaw/groups/layer_group.hpp>
#include <thaw/groups/norm_momentum.hpp>

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
    std::optional<bool> decays = {};  ///< none: by is_decayed
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

/// Whether weight decay acts on a parameter: on weight matrices and kernels. timm's rule (param_groups_weight_decay)
/// leaves out vectors, biases, and what a model lists in `no_weight_decay()`: tokens, position embeddings, biases of
/// relative positions, scales. LibTorch's models have no such list, so these are known by shape and name. A weight that
/// has the shape of its bias is an elementwise scale, such as LayerNorm's. Types are not asked, so that the rule holds
/// for subclasses and for modules from Python.
[[nodiscard]] inline bool is_decayed(const torch::nn::Module& layer, std::string name, const at::Tensor& tensor) {
  name = lower_case(std::move(name));
  const auto says = [&](const char* part) { return name.find(part) != std::string::npos; };
  if (tensor.dim() <= 1 || says("bias")) return false;
  if (name == "weight") {
    const auto parameters = layer.named_parameters(/*recurse=*/false);
    const at::Tensor* const bias = parameters.find("bias");
    return bias == nullptr || !bias->defined() || bias->sizes() != tensor.sizes();
  }
  if (says("weight")) return true;  // in_proj_weight, weight_hh_l0
  const bool is_vector = std::ranges::count_if(tensor.sizes(), [](std::int64_t size) { return size != 1; }) <= 1;
  const bool is_for_every_sample = tensor.size(0) == 1;  // [1, n, width]: added to or put before a batch
  return !is_vector && !is_for_every_sample &&
         std::ranges::none_of(std::array{"token", "embed", "pos_", "position", "scale", "gamma"}, says);
}

/// A layer that keeps running statistics: LibTorch's by their type, whatever they hold (timm's hold their activation);
/// others, Python's say, by their buffers, unless there are layers below: a model that keeps statistics of its input is
/// no norm layer.
[[nodiscard]] inline bool is_norm_layer(torch::nn::Module& module) {
  const auto buffers = module.named_buffers(/*recurse=*/false);
  const at::Tensor* const statistics = buffers.find("running_mean");
  if (statistics == nullptr || !statistics->defined()) return false;
  if (visit_norm(module, [](const auto&) {})) return true;
  return std::ranges::all_of(module.modules(/*include_self=*/false), [](const auto& below) {
    return std::ranges::all_of(below->parameters(/*recurse=*/false), [](const at::Tensor& p) { return p.dim() <= 1; });
  });
}

/// Puts a norm layer in evaluation mode, in a module that trains. What it holds, dropout say, stays in training mode.
inline void hold_norm(torch::nn::Module& layer) {
  layer.eval();
  for (const auto& child : layer.children()) child->train();
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
    const bool is_norm = is_norm_layer(*entry.module);
    if (is_norm && placed.insert(entry.module.get()).second)
      groups[home.at(entry.module->named_buffers(/*recurse=*/false)["running_mean"].unsafeGetTensorImpl())]
          .norms.push_back(entry.module);
    entry.each_tensor([&](const std::string& name, const std::string& own, const at::Tensor& tensor, bool parameter) {
      const auto& [group, trainable, decays] = partition.tensors.at(name);
      if (group != home.at(tensor.unsafeGetTensorImpl()) || !placed.insert(tensor.unsafeGetTensorImpl()).second) return;
      if (parameter)
        groups[group].parameters.push_back(
            {.name = name,
             .tensor = tensor,
             .of_norm = is_norm,
             .decays = decays.value_or(!is_norm && is_decayed(*entry.module, own, tensor)),
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
