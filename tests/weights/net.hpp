// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/Functions.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <cstdint>

namespace thaw::test {

/// The network of tests/reference/make_weight_fixtures.py and write_weights.py.
struct NetImpl : torch::nn::Module {
  explicit NetImpl(std::int64_t classes = 3) : fc(register_module("fc", torch::nn::Linear(2, classes))) {}

  torch::nn::Conv2d conv = register_module("conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 2, 3).bias(false)));
  torch::nn::BatchNorm2d bn = register_module("bn", torch::nn::BatchNorm2d(2));
  torch::nn::Linear fc;
};
TORCH_MODULE(Net);

/// What their files hold at a place: numbers 0, 0.5, ... plus the place.
inline at::Tensor stored(at::IntArrayRef shape, double place) {
  return (at::arange(c10::multiply_integers(shape), at::kFloat) / 2 + place).reshape(shape);
}

}  // namespace thaw::test
