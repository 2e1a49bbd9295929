// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>

#include <unordered_set>
#include <vector>

namespace thaw::detail {

/// The tensors that would get a gradient from this one, each once.
inline std::vector<at::Tensor> graph_leaves(const at::Tensor& from) {
  std::vector<at::Tensor> leaves;
  if (!from.grad_fn()) {
    if (from.requires_grad()) leaves.push_back(from);
    return leaves;
  }
  std::vector<torch::autograd::Node*> open{from.grad_fn().get()};
  std::unordered_set<torch::autograd::Node*> seen{open[0]};
  while (!open.empty()) {
    torch::autograd::Node* const node = open.back();
    open.pop_back();
    if (const auto* leaf = dynamic_cast<torch::autograd::AccumulateGrad*>(node)) leaves.push_back(leaf->variable);
    for (const torch::autograd::Edge& edge : node->next_edges())
      if (edge.function && seen.insert(edge.function.get()).second) open.push_back(edge.function.get());
  }
  return leaves;
}

}  // namespace thaw::detail
