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
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

// Networks against torchvision's, by the fixtures of tests/reference/make_torchvision_fixtures.py.
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

/// `net` without dropout and stochastic depth; its weights are filled.
template <class Model>
Parity measure(Model net, const nlohmann::json& expected, const std::vector<std::int64_t>& images) {
  Parity parity;
  fill(*net, chirp, 3);
  const at::Tensor x = wave(images, 0.37);
  net->eval();
  {
    const at::NoGradGuard no_grad;
    parity.eval = logits_error(net->forward(x.to(at::kFloat)), expected["eval"]);
  }

  to_double(*net);
  fill(*net, chirp, 3);
  net->train();
  const at::Tensor y = net->forward(x);
  (y * wave(y.sizes(), 0.7)).sum().backward();
  parity.train = logits_error(y, expected["train"]);
  if (expected.contains("running")) parity.running = digest_error(running_statistics(*net), expected["running"]);
  for (const auto& parameter : net->named_parameters()) {
    const double error = digest_error(parameter.value().grad(), expected["gradients"][parameter.key()]);
    if (std::isnan(parity.gradients) || error <= parity.gradients) continue;
    parity.gradients = error;
    parity.parameter = parameter.key();
  }
  return parity;
}

/// A network of torchvision's: names, shapes, logits, statistics and gradients.
template <class Model>
void check_parity(Model net, const nlohmann::json& expected, const std::vector<std::int64_t>& images) {
  CAPTURE(expected["name"].get<std::string>());
  CHECK(state_dict(*net).size() == expected["tensors"]);
  CHECK(hash_of_state(*net) == expected["state"].get<std::string>());
  CHECK(count(*net) == expected["parameters"]);
  CHECK(net->parameters().size() == expected["gradients"].size());
  const Parity parity = measure(net, expected, images);
  CHECK(parity.eval < 1e-4);
  CHECK(parity.train < 1e-6);
  CHECK(parity.running < 1e-6);
  CAPTURE(parity.parameter);
  CHECK(parity.gradients < 1e-5);
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
