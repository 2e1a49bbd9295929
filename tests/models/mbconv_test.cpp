// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/models/mbconv.hpp>

#include "models/formula.hpp"

#include <ATen/Context.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>

#include <catch2/catch_test_macros.hpp>

using namespace thaw::models;
using torch::nn::Conv2dOptions;

TEST_CASE("SAME padding: ceil(size / stride) pixels at the size it is made for") {
  for (const std::int64_t kernel : {1, 3, 5})
    for (const std::int64_t stride : {1, 2, 3})
      for (const std::int64_t size : {32, 33, 34, 35, 224}) {
        CAPTURE(kernel, stride, size);
        SameConv2d conv(Conv2dOptions(1, 1, kernel).stride(stride), size);
        CHECK(conv(at::ones({1, 1, size, size})).size(2) == (size + stride - 1) / stride);
      }
}

TEST_CASE("SAME padding puts the odd row and column at the end, also of images of another size") {
  SameConv2d conv(Conv2dOptions(1, 1, 3).stride(2), 224);
  const at::Tensor x = at::randn({1, 1, 7, 10});
  const at::Tensor padded = at::constant_pad_nd(x, {0, 1, 0, 1});
  CHECK(at::allclose(conv(x), at::conv2d(padded, conv->weight, {}, 2)));
  CHECK_FALSE(conv->bias.defined());

  SameConv2d wide(Conv2dOptions(1, 1, 5).stride(2), 56);  // 3 in all: 1 before, 2 after
  CHECK(at::allclose(wide(x), at::conv2d(at::constant_pad_nd(x, {1, 2, 1, 2}), wide->weight, {}, 2)));
}

TEST_CASE("a block adds its input only where the shape stays") {
  const at::Tensor x = at::randn({2, 8, 6, 6});
  MBConv same(MBConvOptions{.in = 8, .out = 8, .size = 6});
  {
    const at::NoGradGuard no_grad;
    same->bn2->weight.zero_();
  }
  CHECK(at::equal(same(x), x));
  MBConv wider(MBConvOptions{.in = 8, .out = 16, .size = 6}),
      halves(MBConvOptions{.in = 8, .out = 8, .stride = 2, .size = 6});
  CHECK(wider(x).sizes() == at::IntArrayRef{2, 16, 6, 6});
  CHECK(halves(x).sizes() == at::IntArrayRef{2, 8, 3, 3});
}

TEST_CASE("a block that does not widen has no expanding convolution") {
  MBConv block(MBConvOptions{.in = 8, .out = 4, .expand = 1, .size = 6});
  CHECK(thaw::test::state_dict(*block).front().first == "_depthwise_conv.weight");
  CHECK_FALSE(block->expand_conv);
}

TEST_CASE("a block drops examples in training alone") {
  at::manual_seed(0);
  MBConv block(MBConvOptions{.in = 2, .out = 2, .size = 6, .drop = 0.999});
  const at::Tensor x = at::randn({4, 2, 6, 6});
  CHECK(at::equal(block(x), x));
  block->eval();
  CHECK_FALSE(at::equal(block(x), x));
  CHECK(at::equal(block(x), block(x)));
}
