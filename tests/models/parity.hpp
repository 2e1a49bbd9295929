// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "models/formula.hpp"
#include "support/data.hpp"

#include <ATen/Context.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

// Networks against their Python originals, by the fixtures that tests/reference makes with formula.py's parity().
namespace thaw::test {

/// FNV-1a, 64 bits, of lines like "fc.weight [1000,512]".
inline std::string hash_of_state(const torch::nn::Module& module) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const auto& [name, tensor] : state_dict(module))
    for (const char c : fmt::format("{} [{}]\n", name, fmt::join(tensor.sizes(), ",")))
      hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return fmt::format("{:016x}", hash);
}

inline std::int64_t count(const torch::nn::Module& module) {
  std::int64_t parameters = 0;
  for (const at::Tensor& parameter : module.parameters()) parameters += parameter.numel();
  return parameters;
}

/// A tensor's product with a chirp and its norm against the original's, relative to the norm.
inline double digest_error(const at::Tensor& tensor, const nlohmann::json& expected) {
  const at::Tensor x = tensor.detach().to(at::kDouble).flatten();
  const double product = x.dot(repeat(chirp(0.5), x.numel())).item<double>();
  const double norm = x.norm().item<double>();
  return std::max(std::abs(product - expected[0].get<double>()), std::abs(norm - expected[1].get<double>())) / norm;
}

/// The first 8 logits of each image, relative to the largest.
inline double logits_error(const at::Tensor& logits, const nlohmann::json& expected) {
  const at::Tensor first = logits.slice(1, 0, 8);
  return distance(first, expected) / first.abs().max().item<double>();
}

/// Means and variances of all batch norms, one after the other; empty without any.
inline at::Tensor running_statistics(const torch::nn::Module& module) {
  std::vector<at::Tensor> running{at::empty({0}, at::kDouble)};
  for (const at::Tensor& buffer : module.buffers())
    if (buffer.is_floating_point()) running.push_back(buffer.flatten());
  return at::cat(running);
}

/// Relative differences from the original, on the same weights and images.
struct Parity {
  double eval = 0;       ///< of the logits, in float32
  double train = 0;      ///< of the logits, in double, as are these:
  double running = 0;    ///< of the running statistics after it
  double gradients = 0;  ///< of the parameter whose gradient is farthest off
  std::string parameter = {};
};

using OutputError = double (*)(const at::Tensor& output, const nlohmann::json& expected);

/// `net` without dropout and stochastic depth; its weights are filled. `forward(net, dtype)` runs it on the original's
/// input, of at::kFloat in eval mode, of at::kDouble in train mode.
template <class Model, std::invocable<Model&, at::ScalarType> Forward>
Parity measure(Model net, const nlohmann::json& expected, const Forward& forward, OutputError error = logits_error) {
  Parity parity;
  fill(*net, chirp, 3);
  net->eval();
  {
    const at::NoGradGuard no_grad;
    parity.eval = error(forward(net, at::kFloat), expected["eval"]);
  }
  if (!expected.contains("train")) return parity;

  to_double(*net);
  fill(*net, chirp, 3);
  net->train();
  const at::Tensor y = forward(net, at::kDouble);
  (y * wave(y.sizes(), 0.7)).sum().backward();
  parity.train = error(y, expected["train"]);
  if (expected.contains("running")) parity.running = digest_error(running_statistics(*net), expected["running"]);
  const nlohmann::json& gradients = expected["gradients"];
  double largest = 0;
  for (const nlohmann::json& gradient : gradients) largest = std::max(largest, gradient[1].get<double>());
  std::size_t i = 0;
  for (const auto& parameter : net->named_parameters()) {
    const nlohmann::json& original = gradients.is_array() ? gradients.at(i++) : gradients.at(parameter.key());
    const at::Tensor& gradient = parameter.value().grad();
    double off = 0;
    if (original[1] != 0)
      off = digest_error(gradient, original);
    else if (!(gradient.norm().item<double>() < 1e-12 * largest))  // the original's is 0 but for rounding
      off = INFINITY;
    if (std::isnan(parity.gradients) || off <= parity.gradients) continue;
    parity.gradients = off;
    parity.parameter = parameter.key();
  }
  return parity;
}

/// Runs a network on images by formula.
inline auto on_images(const std::vector<std::int64_t>& shape) {
  return [x = wave(shape, 0.37)](auto& net, at::ScalarType type) { return net->forward(x.to(type)); };
}

inline void check_limits(const Parity& parity) {
  CHECK(parity.eval < 1e-4);
  CHECK(parity.train < 1e-6);
  CHECK(parity.running < 1e-6);
  CAPTURE(parity.parameter);
  CHECK(parity.gradients < 1e-5);
}

inline void check_state(const torch::nn::Module& net, const nlohmann::json& expected) {
  CHECK(state_dict(net).size() == expected["tensors"]);
  CHECK(hash_of_state(net) == expected["state"].get<std::string>());
  CHECK(count(net) == expected["parameters"]);
}

/// A network against its original: names, shapes, logits, statistics and gradients.
template <class Model, std::invocable<Model&, at::ScalarType> Forward>
void check_parity(Model net, const nlohmann::json& expected, const Forward& forward) {
  check_state(*net, expected);
  CHECK(net->parameters().size() == expected["gradients"].size());
  check_limits(measure(net, expected, forward));
}

template <class Model>
void check_parity(Model net, const nlohmann::json& expected, const std::vector<std::int64_t>& images) {
  CAPTURE(expected["name"].get<std::string>());
  check_parity(net, expected, on_images(images));
}

/// Of a network made after at::manual_seed(1).
template <class Model>
void check_initial_values(Model net, const nlohmann::json& expected) {
  const auto parameters = net->named_parameters();
  REQUIRE(expected["initial"].size() == 3);
  for (const auto& [name, digest] : expected["initial"].items()) {
    CAPTURE(expected["name"].dump(), name);
    CHECK(digest_error(parameters[name], digest) < 1e-4);
  }
}

}  // namespace thaw::test
