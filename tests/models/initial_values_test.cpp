// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/models/initial_values.hpp>

#include <ATen/Context.h>
#include <torch/nn/modules/container/sequential.h>
#include <cmath>

#include <catch2/catch_test_macros.hpp>

TEST_CASE("convolutions start with variance 2 / (k k filters), whatever their groups, and with no bias") {
  using torch::nn::Conv2d, torch::nn::Conv2dOptions;
  at::manual_seed(1);
  const Conv2d plain(Conv2dOptions(20, 60, 3)), grouped(Conv2dOptions(60, 120, 5).groups(20));
  torch::nn::Sequential net(plain, grouped);
  thaw::models::initialise_convolutions(*net);
  for (const Conv2d& conv : {plain, grouped}) {
    const auto filters = static_cast<double>(conv->weight[0][0].numel() * conv->options.out_channels());
    CHECK(std::abs(conv->weight.std().item<double>() / std::sqrt(2 / filters) - 1) < 0.05);
    CHECK(conv->bias.abs().max().item<double>() == 0);
  }
}
