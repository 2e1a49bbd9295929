// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <c10/core/MemoryFormat.h>
#include <torch/csrc/jit/frontend/tracer.h>
#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/frozen_graph_optimizations.h>
#include <torch/csrc/jit/runtime/interpreter.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <thaw/train/frozen_split.hpp>

namespace thaw {

/// The frozen part of a model, compiled for the batches that it sees: recorded by LibTorch's tracer, each norm folded
/// into the convolution before it, weights laid out channels-last, no autograd. Equal to the plain one but for
/// rounding.
///
/// Works on private copies of the weights, so it must be made anew when they change; the Learner sees to that. A first
/// batch of another shape costs a recording, so give batches of few sizes. Takes one tensor, gives one or several; on
/// several, frozen parts run as they are.
///
///     thaw::Learner learner{model, groups, loss, {.train = train, .frozen_prefix = thaw::CompiledPrefix::make}};
///
/// Source: torch.jit.freeze and optimize_for_inference, whose passes these are.
class CompiledPrefix {
 public:
  explicit CompiledPrefix(FrozenSplit split) : split_(std::move(split)) {}

  [[nodiscard]] Fields operator()(const Fields& input) {
    if (input.size() != 1) return split_.features(input);
    const c10::NoGradGuard no_grad;
    const at::Tensor x = channels_last(input[0]);
    auto& code = codes_[{x.sizes().vec(), x.scalar_type()}];
    if (!code) code = record(x);
    torch::jit::Stack stack{x};
    torch::jit::InterpreterState(*code).run(stack);
    ForwardPart::Tensors features;
    for (const c10::IValue& value : stack) features.push_back(value.toTensor());
    return features;
  }

  /// For LearnerOptions::frozen_prefix.
  [[nodiscard]] static FrozenForward make(const FrozenSplit& split) {
    return [compiled = std::make_shared<CompiledPrefix>(split)](const Fields& input) { return (*compiled)(input); };
  }

 private:
  static at::Tensor channels_last(const at::Tensor& tensor) {
    return tensor.dim() == 4 ? tensor.contiguous(at::MemoryFormat::ChannelsLast) : tensor;
  }

  [[nodiscard]] std::shared_ptr<torch::jit::Code> record(const at::Tensor& x) const {
    namespace jit = torch::jit;
    const auto forward = [&](jit::Stack inputs) {
      const Fields features = split_.features(inputs.at(0).toTensor());
      return jit::Stack(features.begin(), features.end());
    };
    const auto no_name = [](const at::Tensor&) { return std::string(); };
    auto graph = jit::tracer::trace({x}, forward, no_name).first->graph;
    jit::ConstantPropagation(graph);  // the passes look for constant strides and the like
    jit::OptimizeFrozenGraph(graph);
    for (jit::Node* node : graph->nodes())
      if (node->kind() == c10::prim::Constant && node->hasAttribute(c10::attr::value) &&
          node->kindOf(c10::attr::value) == jit::AttributeKind::t)
        node->t_(c10::attr::value, channels_last(node->t(c10::attr::value)));
    return std::make_shared<jit::Code>(graph, "thaw::CompiledPrefix");
  }

  FrozenSplit split_;
  std::map<std::pair<std::vector<std::int64_t>, at::ScalarType>, std::shared_ptr<torch::jit::Code>> codes_;
};

}  // namespace thaw
