#pragma once

#include <torch/nn/module.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>
#include <thaw/groups/norm_rule.hpp>

namespace thaw {

/// A parameter of a layer group. Tensors are LibTorch's own handles: they survive `to(device)` and `to(dtype)`.
struct GroupParameter {
  std::string name;  ///< as in the module's state dict
  at::Tensor tensor;
  bool of_norm = false;   ///< belongs to a normalisation layer with running statistics
  bool decays = true;     ///< false for biases, for norm layers and for vectors, which weight decay leaves alone (timm)
  bool trainable = true;  ///< false: did not require a gradient when the groups were made, so it never trains

  /// Whether it gets gradients when its group is frozen or not.
  [[nodiscard]] bool trains(bool frozen, NormRule norm) const {
    return trainable && (!frozen || (of_norm && norm.frozen == Norm::train));
  }
};

/// Consecutive modules of a network that are frozen and thawed, and that learn, together.
struct LayerGroup {
  std::string name;                        ///< of its first module
  std::vector<GroupParameter> parameters;  ///< each shared tensor once, in the first group that has it
  std::vector<std::pair<std::string, at::Tensor>> buffers;
  std::vector<std::shared_ptr<torch::nn::Module>> norms;  ///< layers that keep running statistics

  /// How many numbers its parameters hold.
  [[nodiscard]] std::int64_t numel() const {
    std::int64_t sum = 0;
    for (const GroupParameter& parameter : parameters) sum += parameter.tensor.numel();
    return sum;
  }
};

namespace detail {

/// The module behind a ModuleHolder (`ptr()`) or a shared_ptr.
template <class Model>
[[nodiscard]] std::shared_ptr<torch::nn::Module> module_ptr(const Model& model) {
  if constexpr (requires { model.ptr(); })
    return model.ptr();
  else {
    static_assert(std::convertible_to<const Model&, std::shared_ptr<torch::nn::Module>>,
                  "thaw: a model must be a torch::nn::ModuleHolder (what TORCH_MODULE makes) or a std::shared_ptr to a "
                  "torch::nn::Module");
    return model;
  }
}

}  // namespace detail

/// A network split into layer groups, ordered from input to output: disjoint, and complete over its parameters and
/// buffers. Order is that in which modules were registered, so modules must be registered as they are run.
///
/// It also knows which groups are frozen and what norm layers do (see thaw/groups/freeze.hpp); `train()` puts the
/// module in training mode accordingly, where the module's own `train()` would wake frozen norm layers.
class LayerGroups {
 public:
  /// Cuts before each of these modules: names dotted as in the state dict ("blocks.5", "head"), in the order in which
  /// they are registered. n names give n + 1 groups.
  /// Throws ConfigError for an unknown name (naming the nearest and its siblings), for names out of order, and for a
  /// group without parameters.
  template <class Model>
  [[nodiscard]] static LayerGroups cut_before(const Model& model, const std::vector<std::string>& names) {
    return LayerGroups(detail::module_ptr(model), names);
  }

  [[nodiscard]] std::size_t size() const { return groups_.size(); }
  [[nodiscard]] const LayerGroup& operator[](std::size_t i) const { return groups_[i]; }
  [[nodiscard]] auto begin() const { return groups_.begin(); }
  [[nodiscard]] auto end() const { return groups_.end(); }
  [[nodiscard]] const std::shared_ptr<torch::nn::Module>& module() const { return module_; }

  /// Per group, whether it is frozen now. At first none is.
  [[nodiscard]] const std::vector<bool>& frozen() const { return frozen_; }
  [[nodiscard]] NormRule norm_rule() const { return norm_; }

  /// Whether the running statistics of a group's norm layers stay as they are in training.
  [[nodiscard]] bool holds_norm(std::size_t group) const {
    return (frozen_[group] ? norm_.frozen : norm_.thawed) == Norm::hold;
  }

  /// All gradients that there are.
  [[nodiscard]] std::vector<at::Tensor> gradients() const {
    std::vector<at::Tensor> result;
    for (const LayerGroup& group : groups_)
      for (const GroupParameter& parameter : group.parameters)
        if (parameter.tensor.grad().defined()) result.push_back(parameter.tensor.grad());
    return result;
  }

  /// Puts the whole module in training mode, then those norm layers that are held in evaluation mode.
  void train() const {
    module_->train();
    for (std::size_t i = 0; i < size(); ++i)
      if (holds_norm(i))
        for (const auto& layer : groups_[i].norms) layer->eval();
  }

  /// Puts the whole module in evaluation mode.
  void eval() const { module_->eval(); }

  /// Says which groups are frozen and sets `requires_grad` to match. Gradients of what does not train are undefined:
  /// an optimizer would go on moving a frozen weight that has one, if only by momentum and decay.
  /// Returns the parameters that train now and did not before.
  std::vector<at::Tensor> freeze(std::vector<bool> frozen, NormRule norm) {
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

 private:
  LayerGroups(std::shared_ptr<torch::nn::Module> module, const std::vector<std::string>& cuts);

  static std::vector<std::size_t> cut_positions(const std::vector<std::string>& modules,
                                                const std::vector<std::string>& cuts);

  std::shared_ptr<torch::nn::Module> module_;
  std::vector<LayerGroup> groups_;
  std::vector<bool> frozen_;
  NormRule norm_;
};

namespace detail {

inline ConfigError unknown_module(const std::string& name, std::span<const std::string> modules) {
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

}  // namespace detail

inline std::vector<std::size_t> LayerGroups::cut_positions(const std::vector<std::string>& modules,
                                                           const std::vector<std::string>& cuts) {
  std::vector<std::size_t> positions;
  for (const std::string& cut : cuts) {
    const auto found = std::ranges::find(modules, cut);
    if (found == modules.end()) throw detail::unknown_module(cut, modules);
    positions.push_back(static_cast<std::size_t>(found - modules.begin()));
    if (positions.size() > 1 && positions.back() <= positions[positions.size() - 2])
      throw ConfigError("LayerGroups::cut_before",
                        "\"" + cut + "\" does not come after \"" + cuts[positions.size() - 2] + "\" in the model",
                        "give the names in the order in which the modules are registered, each once");
  }
  return positions;
}

inline LayerGroups::LayerGroups(std::shared_ptr<torch::nn::Module> module, const std::vector<std::string>& cuts)
    : module_(std::move(module)), groups_(cuts.size() + 1), frozen_(cuts.size() + 1, false) {
  const auto modules = module_->named_modules(/*name_prefix=*/"", /*include_self=*/false);
  const std::vector<std::size_t> positions = cut_positions(modules.keys(), cuts);

  std::unordered_set<const at::TensorImpl*> seen;
  const auto add = [&](LayerGroup& group, const std::string& prefix, const std::shared_ptr<torch::nn::Module>& layer) {
    const auto buffers = layer->named_buffers(/*recurse=*/false);
    const at::Tensor* const statistics = buffers.find("running_mean");
    const bool is_norm = statistics != nullptr && statistics->defined();
    if (is_norm) group.norms.push_back(layer);
    for (const auto& buffer : buffers)
      if (buffer.value().defined() && seen.insert(buffer.value().unsafeGetTensorImpl()).second)
        group.buffers.emplace_back(prefix + buffer.key(), buffer.value());
    for (const auto& parameter : layer->named_parameters(/*recurse=*/false)) {
      const at::Tensor& tensor = parameter.value();
      if (!tensor.defined() || !seen.insert(tensor.unsafeGetTensorImpl()).second) continue;
      group.parameters.push_back({.name = prefix + parameter.key(),
                                  .tensor = tensor,
                                  .of_norm = is_norm,
                                  .decays = !is_norm && tensor.dim() > 1 && parameter.key() != "bias",
                                  .trainable = tensor.requires_grad()});
    }
  };

  add(groups_[0], "", module_);
  std::size_t now = 0;
  for (std::size_t i = 0; i < modules.size(); ++i) {
    const std::string& name = modules[i].key();
    if (now < positions.size() && positions[now] == i) ++now;
    if (groups_[now].name.empty()) groups_[now].name = name;
    add(groups_[now], name + ".", modules[i].value());
  }
  if (groups_[0].name.empty()) groups_[0].name = module_->name();

  for (std::size_t i = 0; i < size(); ++i)
    if (groups_[i].parameters.empty())
      throw ConfigError("LayerGroups::cut_before",
                        "group " + std::to_string(i) + " (\"" + groups_[i].name + "\") has no parameters of its own",
                        "cut before a later module");
}

}  // namespace thaw
