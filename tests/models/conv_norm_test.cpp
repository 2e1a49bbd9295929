// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/models/conv_norm.hpp>

#include "models/formula.hpp"

#include <ATen/ops/allclose.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/randn.h>

#include <catch2/catch_test_macros.hpp>

using namespace thaw::models;

TEST_CASE("activations are what their names say") {
  const at::Tensor x = at::linspace(-8, 8, 33);
  const at::Tensor sigmoid = 1 / (1 + (-x).exp()), hard = (x + 3).clamp(0, 6) / 6;
  CHECK(at::allclose(relu_in_place(x.clone()), x.clamp_min(0)));
  CHECK(at::allclose(relu6_in_place(x.clone()), x.clamp(0, 6)));
  CHECK(at::allclose(swish(x), x * sigmoid));
  CHECK(at::allclose(hard_swish(x), x * hard));
  CHECK(at::allclose(sigmoid_gate(x.clone()), sigmoid));
  CHECK(at::allclose(hard_gate(x), hard));
}

TEST_CASE("channels are rounded to multiples of 8, never below 90 %") {
  CHECK(round_channels(1) == 8);
  CHECK(round_channels(18) == 24);  // 16 would be 89 %
  CHECK(round_channels(30) == 32);
  CHECK(round_channels(120) == 120);
  CHECK(round_channels(35.2) == 32);
}

TEST_CASE("a convolution with its norm keeps the size, by its stride, and names as torchvision") {
  for (const std::int64_t kernel : {1, 3, 5}) {
    ConvNorm layer(ConvNormOptions{.in = 4, .out = 6, .kernel = kernel, .stride = 2, .groups = 2});
    CHECK(layer(at::randn({2, 4, 7, 8})).sizes() == at::IntArrayRef{2, 6, 4, 4});
    CHECK(layer(at::randn({2, 4, 7, 8})).min().item<double>() < 0);  // no activation unless asked for
    CHECK(thaw::test::names_and_shapes(*layer)[0] ==
          nlohmann::json{"0.weight", std::vector<std::int64_t>{6, 2, kernel, kernel}});
    CHECK(thaw::test::names_and_shapes(*layer)[1][0] == "1.weight");
    CHECK_FALSE(layer->conv->bias.defined());
  }
  ConvNorm layer(ConvNormOptions{.activation = relu_in_place, .bn_eps = 0.5, .bn_momentum = 0.25});
  CHECK(layer(at::randn({2, 1, 7, 8})).min().item<double>() == 0);
  CHECK(layer->norm->options.eps() == 0.5);
  CHECK(layer->norm->options.momentum() == 0.25);
}
