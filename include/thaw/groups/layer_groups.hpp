// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/nn/module.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <set>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>
#include <thaw/groups/detail/partition.hpp>
#include <thaw/groups/layer_group.hpp>
#include <thaw/groups/module_ref.hpp>
#include <thaw/groups/norm_rule.hpp>
#include <thaw/groups/pattern.hpp>

namespace thaw {

/// A network split into layer groups, ordered from input to output: disjoint, and complete over its parameters and
/// buffers. A tensor that is shared belongs to the first group that has it. Where modules are cut, order is that in
/// which they were registered, so they must be registered as they are run; lists are taken in the order given.
/// A parameter that does not require a gradient when the groups are made never trains; where that is so of a whole
/// group, a warning says it, for it mostly means that other groups, made before, are still frozen.
///
/// It also knows which groups are frozen and what norm layers do (see thaw/groups/freeze.hpp); `train()` puts the
/// module in training mode accordingly, where the module's own `train()` would wake frozen norm layers.
class LayerGroups {
 public:
  /// Cuts before each of these modules: names dotted as in the state dict ("blocks.5", "head"), in the order in which
  /// they are registered. n names give n + 1 groups. A name may be a pattern for several: `*` and `?` stand for text
  /// within a part between dots, so that {"layer?.*", "fc"} gives one group per block of a ResNet; modules without
  /// parameters are passed over.
  /// Throws ConfigError for an unknown name (naming the nearest and its siblings), for names out of order, and for a
  /// group without parameters.
  template <class Model>
  [[nodiscard]] static LayerGroups cut_before(const Model& model, const std::vector<std::string>& names) {
    return before(detail::module_ptr(model), names);
  }

  /// Cuts before these children, by index: `cut_at(sequential, {5, 9})` gives [0, 5), [5, 9) and the rest. For a
  /// torch::nn::Sequential; any other model counts its direct children.
  /// Throws ConfigError for an index out of [1, children), for indices that do not ascend, and for a group without
  /// parameters.
  template <class Model>
  [[nodiscard]] static LayerGroups cut_at(const Model& model, const std::vector<std::size_t>& indices) {
    return at(detail::module_ptr(model), indices);
  }

  /// One group per direct child. A child that brings no parameters joins the group before it, or after it where there
  /// is none before; tensors of the model itself join the first.
  /// Throws ConfigError for a model without parameters.
  template <class Model>
  [[nodiscard]] static LayerGroups per_child(const Model& model) {
    return children(detail::module_ptr(model));
  }

  /// Groups as lists of modules, ModuleHolders or shared pointers of any type, each with all that is below it:
  /// `of_modules(net, {{net->stem}, {net->layer1, net->layer2}, {net->head}})`.
  /// Throws ConfigError for a module that the model does not have, for one in two groups, and for tensors in none.
  template <class Model>
  [[nodiscard]] static LayerGroups of_modules(const Model& model, const std::vector<std::vector<ModuleRef>>& groups) {
    return of(detail::module_ptr(model), groups);
  }

  /// Named groups by patterns over the dotted names of parameters, globs or `thaw::regex` (thaw/groups/regex.hpp):
  /// `matching(net, {{"body", {"conv*", "layer*"}}, {"head", {"fc.*"}}})`. A module's buffers go with its first
  /// parameter; where it has none (a norm layer without affine), by the buffers' own names.
  /// Throws ConfigError for a pattern without a match (naming the nearest name), and for parameters that match no
  /// group or several, naming them.
  template <class Model>
  [[nodiscard]] static LayerGroups matching(const Model& model, const std::vector<NamedPatterns>& groups) {
    return match(detail::module_ptr(model), groups);
  }

  /// The same groups over another module with the same names, a clone say: frozen flags, norm rule and parameters
  /// that never train are carried over, where Module::clone() sets every `requires_grad` to true. Sets `requires_grad`
  /// of the other module, and the mode of its norm layers if it is in training mode.
  /// Throws ConfigError that names the tensors that differ.
  template <class Model>
  [[nodiscard]] LayerGroups rebind(const Model& other) const {
    return rebound(detail::module_ptr(other));
  }

  /// The same groups, in which weight decay also acts on the parameters that any of these patterns matches, globs over
  /// dotted names or `thaw::regex`: `groups.with_decay({"*.bias"})`. By default it acts on weight matrices and kernels
  /// alone: see GroupParameter::decays. An optimizer asks when it is made, so give it these groups.
  /// Throws ConfigError for a pattern without a match.
  [[nodiscard]] LayerGroups with_decay(const std::vector<Pattern>& patterns) const {
    return decaying(patterns, true, "LayerGroups::with_decay");
  }
  /// The same the other way round: what a model of timm's lists in `no_weight_decay()`.
  [[nodiscard]] LayerGroups without_decay(const std::vector<Pattern>& patterns) const {
    return decaying(patterns, false, "LayerGroups::without_decay");
  }

  [[nodiscard]] std::size_t size() const { return groups_.size(); }
  [[nodiscard]] const LayerGroup& operator[](std::size_t i) const { return groups_[i]; }
  [[nodiscard]] auto begin() const { return groups_.begin(); }
  [[nodiscard]] auto end() const { return groups_.end(); }
  [[nodiscard]] const std::shared_ptr<torch::nn::Module>& module() const { return module_; }

  /// Per group, whether it is frozen now. At first none is.
  [[nodiscard]] const std::vector<bool>& frozen() const { return frozen_; }
  [[nodiscard]] NormRule norm_rule() const { return norm_; }
  /// What the norm layers of a group do now.
  [[nodiscard]] Norm norm_of(std::size_t group) const { return norm_.of(frozen_[group]); }

  /// `visit(name, tensor)` for every parameter and every defined buffer, each once, group by group.
  template <class Visit>
  void each_tensor(Visit visit) const {
    for (const LayerGroup& group : groups_) {
      for (const GroupParameter& parameter : group.parameters) visit(parameter.name, parameter.tensor);
      for (const auto& [name, buffer] : group.buffers)
        if (buffer.defined()) visit(name, buffer);
    }
  }

  /// All gradients that there are.
  [[nodiscard]] std::vector<at::Tensor> gradients() const;

  /// Throws ConfigError that names the tensors where the module has others than it had when the groups were made: after
  /// `replace_module`, say. An optimizer over the groups would go on training the old ones.
  void check_current() const;

  /// Throws ConfigError that names a parameter whose `requires_grad` is not what its group's being frozen says: someone
  /// else set it, and it would train, or not, against what is recorded.
  void check_flags() const;

  /// Puts the whole module in training mode, then those norm layers that are held in evaluation mode.
  void train() const;

  /// The second half of it: for who cannot know what put the module in training mode.
  void hold_norms() const;

  /// Puts the whole module in evaluation mode.
  void eval() const { module_->eval(); }

  /// Says which groups are frozen and sets `requires_grad` to match. Gradients of what does not train are undefined:
  /// an optimizer would go on moving a frozen weight that has one, if only by momentum and decay.
  /// Returns the parameters that train now and did not before.
  /// Throws ConfigError for another number of flags than groups.
  std::vector<at::Tensor> freeze(std::vector<bool> frozen, NormRule norm);

 private:
  using Module = std::shared_ptr<torch::nn::Module>;
  static LayerGroups before(const Module& module, const std::vector<std::string>& names);
  static LayerGroups at(const Module& module, const std::vector<std::size_t>& indices);
  static LayerGroups children(const Module& module);
  static LayerGroups of(const Module& module, const std::vector<std::vector<ModuleRef>>& groups);
  static LayerGroups match(const Module& module, const std::vector<NamedPatterns>& groups);
  [[nodiscard]] LayerGroups rebound(const Module& module) const;
  LayerGroups(std::shared_ptr<torch::nn::Module> module, detail::Partition partition);

  [[nodiscard]] LayerGroups decaying(const std::vector<Pattern>& patterns, bool decays, const char* where) const;

  std::shared_ptr<torch::nn::Module> module_;
  detail::Partition partition_;
  std::vector<LayerGroup> groups_;
  std::vector<bool> frozen_;
  NormRule norm_;
};

}  // namespace thaw

#if THAW_DEFINES(groups)
#include <thaw/groups/detail/by_module.hpp>
#include <thaw/groups/detail/by_pattern.hpp>

namespace thaw {

THAW_INLINE LayerGroups LayerGroups::before(const Module& module, const std::vector<std::string>& names) {
  return {module, detail::partition_before(*module, names)};
}

THAW_INLINE LayerGroups LayerGroups::at(const Module& module, const std::vector<std::size_t>& indices) {
  return {module, detail::partition_at(*module, indices)};
}

THAW_INLINE LayerGroups LayerGroups::children(const Module& module) {
  return {module, detail::partition_per_child(*module)};
}

THAW_INLINE LayerGroups LayerGroups::of(const Module& module, const std::vector<std::vector<ModuleRef>>& groups) {
  return {module, detail::partition_of_modules(*module, groups)};
}

THAW_INLINE LayerGroups LayerGroups::match(const Module& module, const std::vector<NamedPatterns>& groups) {
  return {module, detail::partition_matching(*module, groups)};
}

THAW_INLINE LayerGroups LayerGroups::rebound(const Module& module) const {
  detail::check_same_names(*module, partition_);
  LayerGroups groups(module, partition_);
  groups.freeze(frozen_, norm_);
  if (module->is_training()) groups.train();
  return groups;
}

THAW_INLINE std::vector<at::Tensor> LayerGroups::gradients() const {
  std::vector<at::Tensor> result;
  for (const LayerGroup& group : groups_)
    for (const GroupParameter& parameter : group.parameters)
      if (parameter.tensor.grad().defined()) result.push_back(parameter.tensor.grad());
  return result;
}

THAW_INLINE void LayerGroups::train() const {
  module_->train();
  hold_norms();
}

THAW_INLINE void LayerGroups::hold_norms() const {
  for (std::size_t i = 0; i < size(); ++i)
    if (norm_of(i) == Norm::hold)
      for (const auto& layer : groups_[i].norms) detail::hold_norm(*layer);
}

THAW_INLINE void LayerGroups::check_flags() const {
  for (std::size_t i = 0; i < size(); ++i)
    for (const GroupParameter& parameter : groups_[i].parameters)
      if (const bool trains = parameter.trains(frozen_[i], norm_); trains != parameter.tensor.requires_grad())
        throw ConfigError("LayerGroups",
                          std::string("requires_grad of \"") + parameter.name + "\" was set to " +
                              (trains ? "false" : "true") + " while a stage runs, by a callback or another Learner",
                          "freeze and thaw by learner.freeze_to(n) or thaw::apply(policy, learner.groups()), and let "
                          "one Learner end its fit before another trains the same model");
}

THAW_INLINE std::vector<at::Tensor> LayerGroups::freeze(std::vector<bool> frozen, NormRule norm) {
  if (frozen.size() != size())
    throw ConfigError("LayerGroups::freeze",
                      std::to_string(frozen.size()) + " flags for " + std::to_string(size()) + " layer groups",
                      "give one flag per layer group");
  frozen_ = std::move(frozen);
  norm_ = norm;
  std::vector<at::Tensor> thawed;
  for (std::size_t i = 0; i < size(); ++i)
    for (const GroupParameter& parameter : groups_[i].parameters) {
      at::Tensor tensor = parameter.tensor;
      const bool trains = parameter.trains(frozen_[i], norm_);
      if (trains && !tensor.requires_grad()) thawed.push_back(tensor);
      tensor.set_requires_grad(trains);
      if (!trains) tensor.mutable_grad() = at::Tensor();
    }
  return thawed;
}

THAW_INLINE LayerGroups::LayerGroups(std::shared_ptr<torch::nn::Module> module, detail::Partition partition)
    : module_(std::move(module)),
      partition_(std::move(partition)),
      groups_(detail::fill_groups(*module_, partition_)),
      frozen_(groups_.size(), false) {}

THAW_INLINE LayerGroups LayerGroups::decaying(const std::vector<Pattern>& patterns, bool decays,
                                              const char* where) const {
  LayerGroups result = *this;
  detail::set_decay(result.partition_, *module_, patterns, decays, where);
  result.groups_ = detail::fill_groups(*module_, result.partition_);
  return result;
}

THAW_INLINE void LayerGroups::check_current() const {
  std::unordered_set<const at::TensorImpl*> known, now;
  std::set<std::string> names;
  each_tensor([&](const std::string&, const at::Tensor& tensor) { known.insert(tensor.unsafeGetTensorImpl()); });
  const auto see = [&](const auto& items) {
    for (const auto& item : items) {
      if (!item.value().defined()) continue;
      now.insert(item.value().unsafeGetTensorImpl());
      if (!known.contains(item.value().unsafeGetTensorImpl())) names.insert(item.key());
    }
  };
  see(module_->named_parameters());
  see(module_->named_buffers());
  each_tensor([&](const std::string& name, const at::Tensor& tensor) {
    if (!now.contains(tensor.unsafeGetTensorImpl())) names.insert(name);
  });
  if (names.empty()) return;
  const std::vector<std::string> changed(names.begin(), names.end());
  throw ConfigError("LayerGroups", "the model has other tensors than when its groups were made: " + join_names(changed),
                    "make the groups, and the Learner, once the model is complete");
}

}  // namespace thaw

#endif
