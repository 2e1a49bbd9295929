// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/csrc/jit/api/module.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>
#include <thaw/groups/detail/script_norms.hpp>
#include <thaw/groups/norm_momentum.hpp>

namespace thaw {

namespace detail {

/// A TorchScript (sub)module as a torch::nn::Module: the same tensors under the same names, children likewise. `to()`
/// changes the tensors in place, so that the script module sees it; the mode is the script module's own `training`.
class ScriptMirror : public torch::nn::Module, public ScriptLayer {
 public:
  using Known = std::unordered_map<const void*, std::shared_ptr<torch::nn::Module>>;  // mirrors by script object

  ScriptMirror(torch::jit::Module script, Known& known);

  void train(bool on = true) override;

  [[nodiscard]] bool is_training() const noexcept override {
    return has_mode() ? script_.is_training() : torch::nn::Module::is_training();
  }

  [[nodiscard]] bool has_statistics() const override {
    return named_buffers(/*recurse=*/false).contains("running_mean");
  }
  [[nodiscard]] bool moves_statistics() const override { return has_statistics() && !held_for_good_; }
  /// Its statistics never move: it was traced in evaluation mode.
  void hold_for_good() { held_for_good_ = true; }

  /// The TorchScript module itself.
  [[nodiscard]] const torch::jit::Module& script() const { return script_; }

 protected:
  torch::jit::Module script_;

 private:
  [[nodiscard]] static std::string class_name(const torch::jit::Module& script);
  [[nodiscard]] bool has_mode() const { return script_.type()->findAttributeSlot("training").has_value(); }

  bool held_for_good_ = false;
};

}  // namespace detail

/// A network from Python, scripted or traced, as a torch::nn::Module, so that layer groups, freezing, norm rules and
/// the Learner take it like any other:
///
///     thaw::ScriptModule model(torch::jit::load("model.pt"));
///     auto groups = thaw::LayerGroups::cut_before(model, {"layer3", "fc"});
///
/// Its modules, parameters and buffers have Python's dotted names and are the script module's own tensors: training
/// moves the script module's weights, and `model->script().save("tuned.pt")` goes back to Python. `to()` moves it,
/// but for constants that tracing has baked in.
///
/// What was traced has its mode baked in, too: `train()` and `eval()` change only what was scripted. Traced in eval
/// mode, norm layers are held and dropout is off for good. Traced in training mode, norm layers move their statistics
/// for good, frozen or not: these are `norms_stuck_in_training()`, and a TORCH_WARN names them on construction. The
/// momentum of norm layers is a constant of the program: set_norm_momentum and SWA, which change it, refuse them.
class ScriptModuleImpl : public detail::ScriptMirror {
 public:
  /// Shares the tensors of `script`; does not copy them. Throws ConfigError for a module without `forward`.
  explicit ScriptModuleImpl(torch::jit::Module script);

  [[nodiscard]] at::Tensor forward(const at::Tensor& input) { return run({input}); }

  /// `forward` of several tensors. Throws ConfigError unless it returns one tensor, c10::Error for other inputs.
  [[nodiscard]] at::Tensor run(const std::vector<at::Tensor>& inputs);

  /// Norm layers that were traced in training mode, by dotted name: eval() does not hold their running statistics.
  [[nodiscard]] const std::vector<std::string>& norms_stuck_in_training() const { return stuck_; }

  /// A deep copy, script module and all. Unlike LibTorch's own modules, it keeps `requires_grad` as it is.
  [[nodiscard]] std::shared_ptr<torch::nn::Module> clone(
      const std::optional<torch::Device>& device = std::nullopt) const override;

 private:
  ScriptModuleImpl(torch::jit::Module script, Known known);

  static torch::jit::Module checked(torch::jit::Module script);

  std::vector<std::string> stuck_;
};

/// Holds a ScriptModuleImpl, shared, as LibTorch's own modules are held.
TORCH_MODULE(ScriptModule);

}  // namespace thaw

#if THAW_DEFINES(groups)

namespace thaw::detail {

THAW_INLINE ScriptMirror::ScriptMirror(torch::jit::Module script, Known& known)
    : torch::nn::Module(class_name(script)), script_(std::move(script)) {
  for (const auto& parameter : script_.named_parameters(/*recurse=*/false))
    register_parameter(parameter.name, parameter.value, parameter.value.requires_grad());
  for (const auto& buffer : script_.named_buffers(/*recurse=*/false)) register_buffer(buffer.name, buffer.value);
  for (const auto& child : script_.named_children()) {
    std::shared_ptr<torch::nn::Module>& mirror = known[child.value._ivalue().get()];
    if (mirror == nullptr) mirror = std::make_shared<ScriptMirror>(child.value, known);
    register_module(child.name, mirror);
  }
}

THAW_INLINE void ScriptMirror::train(bool on) {
  torch::nn::Module::train(on);
  if (has_mode()) script_.setattr("training", on);
}

THAW_INLINE std::string ScriptMirror::class_name(const torch::jit::Module& script) {
  const auto name = script.type()->name();
  return name ? name->name() : "ScriptModule";
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE ScriptModuleImpl::ScriptModuleImpl(torch::jit::Module script)
    : ScriptModuleImpl(std::move(script), Known{}) {
  if (!stuck_.empty()) {
    TORCH_WARN(
        "thaw::ScriptModule: traced in training mode, so eval() and freezing do not stop the running statistics of ",
        stuck_.size(), " norm layer", stuck_.size() == 1 ? "" : "s", " from moving: ", join_names(stuck_),
        "\n  fix: in Python, call model.eval() before torch.jit.trace, or take torch.jit.script");
  }
}

THAW_INLINE at::Tensor ScriptModuleImpl::run(const std::vector<at::Tensor>& inputs) {
  const c10::IValue output = script_.forward({inputs.begin(), inputs.end()});
  if (!output.isTensor())
    throw ConfigError("ScriptModule", "forward returned a " + output.tagKind() + ", not a tensor",
                      "wrap the network in a Python module that returns the one tensor that the loss needs");
  return output.toTensor();
}

THAW_INLINE std::shared_ptr<torch::nn::Module> ScriptModuleImpl::clone(
    const std::optional<torch::Device>& device) const {
  const at::NoGradGuard no_grad;
  const torch::jit::Module script = script_.deepcopy();
  const auto mine = named_parameters();
  for (const auto& parameter : script.named_parameters())
    parameter.value.set_requires_grad(mine[parameter.name].requires_grad());
  const std::shared_ptr<ScriptModuleImpl> copy(new ScriptModuleImpl(script, Known{}));
  if (device) copy->to(*device);
  return copy;
}

THAW_INLINE ScriptModuleImpl::ScriptModuleImpl(torch::jit::Module script, Known known)
    : ScriptMirror(checked(std::move(script)), known) {
  stuck_ = detail::stuck_norms(script_, /*in_training=*/true);
  const auto below = named_modules("", /*include_self=*/false);
  for (const std::string& name : detail::stuck_norms(script_, /*in_training=*/false))
    if (auto* layer = name.empty() ? this : below.contains(name) ? below[name]->as<ScriptMirror>() : nullptr)
      layer->hold_for_good();
}

THAW_INLINE torch::jit::Module ScriptModuleImpl::checked(torch::jit::Module script) {
  if (!script.find_method("forward"))
    throw ConfigError("ScriptModule", "the module has no `forward`",
                      "export it from Python with torch.jit.script or torch.jit.trace");
  return script;
}

}  // namespace thaw

#endif
