// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <algorithm>
#include <map>
#include <string>

namespace thaw::test {

/// Three linear layers, batch norm after the first two: children "stem", "body", "head".
struct TinyNetImpl : torch::nn::Module {
  explicit TinyNetImpl(std::int64_t classes = 3, bool norm = true) {
    const auto block = [&](std::int64_t in, std::int64_t out) {
      torch::nn::Sequential layers{torch::nn::Linear(in, out)};
      if (norm) layers->push_back(torch::nn::BatchNorm1d(out));
      layers->push_back(torch::nn::ReLU());
      return layers;
    };
    stem = register_module("stem", block(4, 5));
    body = register_module("body", block(5, 5));
    head = register_module("head", torch::nn::Linear(5, classes));
  }
  at::Tensor forward(const at::Tensor& x) { return head->forward(body->forward(stem->forward(x))); }

  torch::nn::Sequential stem{nullptr}, body{nullptr};
  torch::nn::Linear head{nullptr};
};
TORCH_MODULE(TinyNet);

/// A copy of every parameter and buffer, by name.
inline std::map<std::string, at::Tensor> state_of(const torch::nn::Module& module) {
  std::map<std::string, at::Tensor> state;
  for (const auto& entry : module.named_parameters()) state[entry.key()] = entry.value().detach().clone();
  for (const auto& entry : module.named_buffers()) state[entry.key()] = entry.value().detach().clone();
  return state;
}

/// The names of the tensors that are not bit-identical.
inline std::vector<std::string> changed(const std::map<std::string, at::Tensor>& before,
                                        const torch::nn::Module& module) {
  std::vector<std::string> names;
  for (const auto& [name, now] : state_of(module))
    if (!at::equal(before.at(name), now)) names.push_back(name);
  return names;
}

inline bool any_starts_with(const std::vector<std::string>& names, const std::string& prefix) {
  return std::ranges::any_of(names, [&](const std::string& name) { return name.starts_with(prefix); });
}

inline bool same_state(const std::map<std::string, at::Tensor>& before, const torch::nn::Module& module) {
  return changed(before, module).empty();
}

}  // namespace thaw::test
