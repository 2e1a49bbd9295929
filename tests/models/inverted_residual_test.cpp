// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/models/inverted_residual.hpp>

#include "models/formula.hpp"

#include <ATen/Context.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>

#include <catch2/catch_test_macros.hpp>

using namespace thaw::models;

namespace {

std::vector<std::string> weights(const torch::nn::Module& module) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : thaw::test::state_dict(module))
    if (name.ends_with("weight")) names.push_back(name);
  return names;
}

}  // namespace

TEST_CASE("squeeze-and-excitation is channels times a gate of all channels' means") {
  SqueezeExcite layer(SqueezeExciteOptions{.channels = 6, .squeezed = 2, .activation = swish, .gate = hard_gate});
  const at::Tensor x = at::randn({3, 6, 4, 5});
  const auto matrix = [](const torch::nn::Conv2d& conv) { return conv->weight.squeeze(3).squeeze(2).t(); };
  const at::Tensor inner = swish(x.mean({2, 3}).mm(matrix(layer->fc1)) + layer->fc1->bias);
  const at::Tensor gate = hard_gate(inner.mm(matrix(layer->fc2)) + layer->fc2->bias);
  CHECK(at::allclose(layer(x), x * gate.unsqueeze(2).unsqueeze(3), 1e-4, 1e-6));
}

TEST_CASE("an inverted residual block adds its input only where the shape stays") {
  const at::Tensor x = at::randn({2, 8, 6, 6}), copy = x.clone();
  InvertedResidual same(InvertedResidualOptions{.in = 8, .out = 8, .wide = 16, .v2_names = true});
  {
    const at::NoGradGuard no_grad;
    same->named_parameters()["conv.3.weight"].zero_();
  }
  CHECK(at::equal(same(x), x));
  InvertedResidual wider(InvertedResidualOptions{.in = 8, .out = 16, .wide = 16}),
      halves(InvertedResidualOptions{.in = 8, .out = 8, .wide = 16, .kernel = 5, .stride = 2});
  CHECK(wider(x).sizes() == at::IntArrayRef{2, 16, 6, 6});
  CHECK(halves(x).sizes() == at::IntArrayRef{2, 8, 3, 3});
  CHECK(at::equal(x, copy));
}

TEST_CASE("an inverted residual block has the layers that its options ask for, with torchvision's names") {
  using Names = std::vector<std::string>;
  CHECK(weights(*InvertedResidual(InvertedResidualOptions{.in = 8, .out = 4, .wide = 8})) ==
        Names{"block.0.0.weight", "block.0.1.weight", "block.1.0.weight", "block.1.1.weight"});
  CHECK(weights(*InvertedResidual(InvertedResidualOptions{.in = 8, .out = 4, .wide = 8, .squeezed = 2})) ==
        Names{"block.0.0.weight", "block.0.1.weight", "block.1.fc1.weight", "block.1.fc2.weight", "block.2.0.weight",
              "block.2.1.weight"});
  CHECK(weights(*InvertedResidual(InvertedResidualOptions{.in = 8, .out = 4, .wide = 16, .v2_names = true})) ==
        Names{"conv.0.0.weight", "conv.0.1.weight", "conv.1.0.weight", "conv.1.1.weight", "conv.2.weight",
              "conv.3.weight"});
}

TEST_CASE("an inverted residual block drops examples in training alone") {
  at::manual_seed(0);
  InvertedResidual block(InvertedResidualOptions{.in = 2, .out = 2, .drop = 0.999});
  const at::Tensor x = at::randn({4, 2, 6, 6});
  CHECK(at::equal(block(x), x));
  block->eval();
  CHECK_FALSE(at::equal(block(x), x));
  CHECK(at::equal(block(x), block(x)));
}
