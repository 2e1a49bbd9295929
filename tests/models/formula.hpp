// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/nn/module.h>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

// Inputs and weights by formula, as in tests/reference/formula.py.
namespace thaw::test {

inline at::Tensor wave(at::IntArrayRef shape, double w, double start = 0) {
  return (at::arange(c10::multiply_integers(shape), at::kDouble) * w + start).sin().reshape(shape);
}

/// Names and tensors in the order of Python's state_dict(): of each module parameters, buffers, then children.
inline std::vector<std::pair<std::string, at::Tensor>> state_dict(const torch::nn::Module& module) {
  std::vector<std::pair<std::string, at::Tensor>> state;
  const auto add = [&](const std::string& prefix, const torch::nn::Module& layer) {
    for (const auto& entry : layer.named_parameters(/*recurse=*/false))
      if (entry.value().defined()) state.emplace_back(prefix + entry.key(), entry.value());
    for (const auto& entry : layer.named_buffers(/*recurse=*/false))
      state.emplace_back(prefix + entry.key(), entry.value());
  };
  add("", module);
  for (const auto& child : module.named_modules("", /*include_self=*/false)) add(child.key() + ".", *child.value());
  return state;
}

inline nlohmann::json names_and_shapes(const torch::nn::Module& module) {
  auto list = nlohmann::json::array();
  for (const auto& [name, tensor] : state_dict(module)) list.push_back({name, tensor.sizes().vec()});
  return list;
}

inline at::Tensor repeat(const at::Tensor& period, std::int64_t n) {
  return period.repeat({n / period.numel() + 1}).slice(0, 0, n);
}

inline at::Tensor sine(double start) {
  return wave({1009}, 0.9, start);
}

/// Unlike a sine's, a matrix of its numbers has full rank, without which batch norm would divide by variances near 0.
inline at::Tensor chirp(double start) {
  return (at::arange(1009, at::kDouble).square() * 0.9 + start).sin();
}

inline void fill(torch::nn::Module& module, at::Tensor (*period)(double start) = sine, double variance = 1) {
  const at::NoGradGuard no_grad;
  double i = 0;
  for (auto& [name, tensor] : state_dict(module)) {
    const at::Tensor numbers = period(i++);
    if (!tensor.is_floating_point()) continue;
    at::Tensor x = repeat(numbers, tensor.numel()).reshape(tensor.sizes());
    if (tensor.dim() > 1)
      x *= std::sqrt(3.0 * static_cast<double>(tensor.size(0)) / static_cast<double>(tensor.numel()));
    else if (name.ends_with("running_var"))
      x = variance * (1 + 0.5 * x);
    else
      x = (name.ends_with("weight") ? 1 : 0) + 0.1 * x;
    tensor.copy_(x);
  }
}

/// Module::to(kDouble) would make doubles of counts as well.
inline void to_double(torch::nn::Module& module) {
  for (auto& [name, tensor] : state_dict(module))
    if (tensor.is_floating_point()) tensor.set_data(tensor.to(at::kDouble));
}

/// The largest absolute difference from a JSON list of numbers, all of which must be there.
inline double distance(const at::Tensor& tensor, const nlohmann::json& expected) {
  const auto numbers = expected.get<std::vector<double>>();
  if (static_cast<std::size_t>(tensor.numel()) != numbers.size()) return INFINITY;
  return (tensor.detach().to(at::kDouble).flatten() - at::tensor(numbers, at::kDouble)).abs().max().item<double>();
}

}  // namespace thaw::test
