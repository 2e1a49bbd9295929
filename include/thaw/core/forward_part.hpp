// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/container/any.h>
#include <torch/nn/modules/container/sequential.h>

#include <concepts>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/module_ptr.hpp>

namespace thaw {

/// One link of a model's forward pass. A model that lists its links, first to last, can be run in two halves: what is
/// frozen once, the rest again and again (see Stage::cache).
///
///     std::vector<thaw::ForwardPart> forward_parts() {
///       return {{"stem", {conv1.ptr(), bn1.ptr()}, [this](const at::Tensor& x) { return bn1(conv1(x)).relu(); }},
///               {"layer1", layer1},
///               {"head", head}};
///     }
///
/// Each takes what the one before it gives, and all of them together must give what `forward` gives. The parts are
/// used only while the model lives.
struct ForwardPart {
  using Tensors = std::vector<at::Tensor>;

  /// `run`: from one tensor to one, or from Tensors to Tensors. `modules`: everything with parameters, buffers or a
  /// training mode that it uses.
  template <class Run>
  ForwardPart(std::string name_, std::vector<std::shared_ptr<torch::nn::Module>> modules_, Run run)
      : name(std::move(name_)), modules(std::move(modules_)) {
    if constexpr (std::is_invocable_r_v<Tensors, Run&, const Tensors&>) {
      forward = std::move(run);
    } else {
      static_assert(std::is_invocable_r_v<at::Tensor, Run&, const at::Tensor&>,
                    "thaw: a ForwardPart runs as `at::Tensor(const at::Tensor&)`, or from a std::vector<at::Tensor> to "
                    "another");
      forward = [run = std::move(run)](const Tensors& x) mutable { return Tensors{run(x.at(0))}; };
    }
  }

  /// A module that is run as it is: a ModuleHolder or shared_ptr.
  template <class Model>
    requires requires(Model& model, const at::Tensor& x) {
      { model->forward(x) } -> std::convertible_to<at::Tensor>;
    }
  ForwardPart(std::string name_, Model model)
      : ForwardPart(std::move(name_), {detail::module_ptr(model)},
                    [model](const at::Tensor& x) mutable -> at::Tensor { return model->forward(x); }) {}

  std::string name;  ///< for people: that of its first module in the state dict
  std::vector<std::shared_ptr<torch::nn::Module>> modules;
  std::function<Tensors(const Tensors&)> forward;
};

/// How a list of parts is run: thaw::Recompute.
using RunParts = std::function<ForwardPart::Tensors(const std::vector<ForwardPart>& parts, ForwardPart::Tensors x)>;

/// The children of a Sequential as parts; `name` stands before theirs.
[[nodiscard]] std::vector<ForwardPart> forward_parts(torch::nn::SequentialImpl& sequential,
                                                     const std::string& name = "");

/// A model whose forward pass can be run in parts: it has `forward_parts()`, or is a torch::nn::Sequential.
template <class Model>
concept SplitForward = requires(Model& model) {
  { model->forward_parts() } -> std::convertible_to<std::vector<ForwardPart>>;
} || std::derived_from<std::remove_cvref_t<decltype(*std::declval<Model&>())>, torch::nn::SequentialImpl>;

/// The parts of a model, first to last. Throws ConfigError for a null one.
template <class Model>
[[nodiscard]] std::vector<ForwardPart> forward_parts(Model& model) {
  static_assert(SplitForward<Model>,
                "thaw: to be run in parts, a model must be a torch::nn::Sequential or have a member "
                "`std::vector<thaw::ForwardPart> forward_parts()`");
  if constexpr (requires { model.ptr(); } || std::convertible_to<const Model&, std::shared_ptr<torch::nn::Module>>)
    (void)detail::module_ptr(model);  // throws for none
  if constexpr (requires { model->forward_parts(); })
    return model->forward_parts();
  else
    return forward_parts(static_cast<torch::nn::SequentialImpl&>(*model));
}

}  // namespace thaw

#if THAW_DEFINES(core)

namespace thaw {

THAW_INLINE std::vector<ForwardPart> forward_parts(torch::nn::SequentialImpl& sequential, const std::string& name) {
  std::vector<ForwardPart> parts;
  for (const torch::nn::AnyModule& child : sequential)
    parts.emplace_back((name.empty() ? "" : name + ".") + std::to_string(parts.size()), std::vector{child.ptr()},
                       [child = child](const at::Tensor& x) mutable -> at::Tensor { return child.forward(x); });
  return parts;
}

}  // namespace thaw

#endif
