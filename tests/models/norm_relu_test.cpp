// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/models/norm_relu.hpp>

#include <ATen/Parallel.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <torch/csrc/autograd/autograd.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

using thaw::models::no_limit;
using thaw::models::norm_relu;
using thaw::models::relu6_limit;

namespace {

torch::nn::BatchNorm2d held_norm(std::int64_t channels) {
  torch::nn::BatchNorm2d norm(torch::nn::BatchNorm2dOptions(channels).eps(1e-3));
  const c10::NoGradGuard no_grad;
  norm->weight.copy_(at::randn({channels}));
  norm->bias.copy_(at::randn({channels}));
  norm->running_mean.copy_(at::randn({channels}));
  norm->running_var.copy_(at::rand({channels}) + 0.1);
  norm->eval();
  return norm;
}

at::Tensor image(at::IntArrayRef sizes) { return (3 * at::randn(sizes)).contiguous(at::MemoryFormat::ChannelsLast); }

at::Tensor separate(torch::nn::BatchNorm2d& norm, const at::Tensor& x, float high) {
  const at::Tensor y = norm(x);
  return high < no_limit ? at::relu6(y) : at::relu(y);
}

/// The result, and the gradients of x, weight and bias for a random one of the result.
std::vector<at::Tensor> pass(torch::nn::BatchNorm2d& norm, const at::Tensor& x, float high, bool one_pass) {
  const at::Tensor leaf = x.clone().requires_grad_();
  const at::Tensor y = one_pass ? norm_relu(norm, leaf * 1, high) : separate(norm, leaf * 1, high);
  at::manual_seed(5);
  const auto gradients =
      torch::autograd::grad({y}, {leaf, norm->weight, norm->bias}, {at::randn(y.sizes())}, /*retain_graph=*/false);
  return {y.detach(), gradients[0], gradients[1], gradients[2]};
}

}  // namespace

TEST_CASE("a held norm and its ReLU in one pass give what the two layers give, bit for bit, and their gradients") {
  at::manual_seed(1);
  for (const std::int64_t channels : {1, 3, 8, 33, 100})
    for (const float high : {no_limit, relu6_limit}) {
      CAPTURE(channels, high);
      auto norm = held_norm(channels);
      const at::Tensor x = image({3, channels, 37, 29});  // several blocks of rows, the last one short
      const auto expected = pass(norm, x, high, false), found = pass(norm, x, high, true);
      CHECK(at::equal(found[0], expected[0]));
      for (std::size_t i = 1; i < 4; ++i) {
        CAPTURE(i);
        CHECK(at::allclose(found[i], expected[i], 1e-5, 1e-5 * expected[i].abs().max().item<double>()));
      }
    }
}

TEST_CASE("weights that are 0, or too small to be divided out of the result, have their gradients too") {
  at::manual_seed(2);
  auto norm = held_norm(6);
  {
    const c10::NoGradGuard no_grad;
    norm->weight.copy_(at::tensor({0.0F, 1e-30F, -1e-6F, 1e-3F, 1.0F, -1.0F}));
    norm->bias.copy_(at::tensor({1.0F, 0.0F, 2.0F, 0.5F, 0.0F, 0.3F}));
  }
  const at::Tensor x = image({2, 6, 9, 9});
  const auto expected = pass(norm, x, no_limit, false), found = pass(norm, x, no_limit, true);
  for (std::size_t i = 0; i < 4; ++i) {
    CAPTURE(i);
    CHECK(at::allclose(found[i], expected[i], 1e-5, 1e-5 * expected[i].abs().max().item<double>()));
  }
}

TEST_CASE("the result lies where the input lay, and is the same without gradients, bit for bit") {
  auto norm = held_norm(8);
  const at::Tensor x = image({2, 8, 16, 16});
  const at::Tensor with = norm_relu(norm, x.clone() * 1);
  const c10::NoGradGuard no_grad;
  const at::Tensor given = x.clone(), without = norm_relu(norm, given);
  CHECK(without.data_ptr() == given.data_ptr());
  CHECK(at::equal(with, without));
  CHECK(with.requires_grad());
  CHECK_FALSE(without.requires_grad());
}

TEST_CASE("gradients do not depend on the number of threads") {
  auto norm = held_norm(16);
  const at::Tensor x = image({4, 16, 64, 64});
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = pass(norm, x, no_limit, true);
  at::set_num_threads(2);
  const auto two = pass(norm, x, no_limit, true);
  at::set_num_threads(threads);
  for (std::size_t i = 0; i < 4; ++i) CHECK(at::equal(one[i], two[i]));
}

TEST_CASE("what is frozen gets no gradient") {
  auto norm = held_norm(4);
  const at::Tensor x = image({2, 4, 5, 5});
  norm->weight.requires_grad_(false);
  const at::Tensor leaf = x.clone().requires_grad_();
  norm_relu(norm, leaf * 1).sum().backward();
  CHECK(leaf.grad().defined());
  CHECK(norm->bias.grad().defined());
  CHECK_FALSE(norm->weight.grad().defined());
  norm->bias.requires_grad_(false);
  CHECK_FALSE(norm_relu(norm, x.clone()).requires_grad());
  norm->weight.requires_grad_(true);
  const at::Tensor y = norm_relu(norm, x.clone());  // as behind a frozen convolution
  y.sum().backward();
  CHECK(norm->weight.grad().defined());
}

TEST_CASE("other norms and inputs go through the layers, bit for bit") {
  for (const auto& change : std::vector<std::function<void(torch::nn::BatchNorm2d&, at::Tensor&)>>{
           [](auto& norm, at::Tensor&) { norm->train(); },
           [](auto& norm, at::Tensor& x) { norm->to(at::kDouble), x = x.to(at::kDouble); },
           [](auto&, at::Tensor& x) { x = x.contiguous(); },
           [](auto& norm, at::Tensor&) {
             norm = torch::nn::BatchNorm2d(torch::nn::BatchNorm2dOptions(8).affine(false));
             norm->eval();
           }}) {
    auto norm = held_norm(8);
    at::Tensor x = image({2, 8, 6, 6});
    change(norm, x);
    const at::Tensor expected = separate(norm, x, relu6_limit);
    CHECK(at::equal(norm_relu(norm, x.clone() * 1, relu6_limit), expected));
  }
}

TEST_CASE("NaN and infinity stay visible") {
  auto norm = held_norm(8);
  at::Tensor x = image({1, 8, 2, 2});
  x[0][0][0][0] = std::numeric_limits<float>::quiet_NaN();
  const at::Tensor y = norm_relu(norm, x);
  CHECK(std::isnan(y[0][0][0][0].item<float>()));
  CHECK(y.isnan().sum().item<std::int64_t>() == 1);
}

TEST_CASE("gradients of gradients are refused") {
  auto norm = held_norm(8);
  const at::Tensor leaf = image({1, 8, 3, 3}).requires_grad_();
  const at::Tensor y = norm_relu(norm, leaf * 1);
  CHECK_THROWS_WITH(torch::autograd::grad({y.sum()}, {leaf}, {}, /*retain_graph=*/true, /*create_graph=*/true),
                    Catch::Matchers::ContainsSubstring("create_graph"));
}
