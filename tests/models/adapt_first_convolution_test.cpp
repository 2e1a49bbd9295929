// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/models/adapt_first_convolution.hpp>

#include <thaw/models/efficientnet_lite.hpp>
#include <thaw/models/mobilenet_v2.hpp>
#include <thaw/models/resnet.hpp>

#include <ATen/Context.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace thaw::models;
using Catch::Matchers::ContainsSubstring;

namespace {

template <class Model>
void check_adapted(Model (*make)()) {
  const at::NoGradGuard no_grad;
  Model net = make();
  net->eval();
  const at::Tensor grey = at::randn({2, 1, 40, 40}), rgb = at::randn({2, 3, 40, 40});
  const at::Tensor as_grey = net->features(at::cat({grey, grey, grey}, 1));

  adapt_first_convolution(net, 1);
  CHECK(net->options.in_channels == 1);
  CHECK(at::allclose(net->features(grey), as_grey, 1e-3, 1e-4));

  net = make();
  net->eval();
  const at::Tensor deep = net->features(rgb);
  adapt_first_convolution(net, 5);
  CHECK(at::equal(net->features(at::cat({rgb, grey, grey}, 1)), deep));
  CHECK_THROWS_AS(net->features(rgb), thaw::DataError);
}

}  // namespace

TEST_CASE("an adapted network gives for grey images, and for more channels, what it gave for RGB") {
  check_adapted<ResNet>([] { return resnet18({.classes = 2}); });
  check_adapted<MobileNetV2>([] { return mobilenet_v2({.classes = 2}); });
  check_adapted<EfficientNetLite>([] { return efficientnet_lite0({.classes = 2}); });
}

TEST_CASE("an adapted convolution is the same parameter, without its gradient, and trains") {
  ResNet net = resnet18({.classes = 2});
  const at::Tensor weight = net->conv1->weight;
  net(at::randn({2, 3, 32, 32})).sum().backward();
  adapt_first_convolution(net, 1);
  CHECK(weight.is_same(net->conv1->weight));
  CHECK_FALSE(weight.grad().defined());
  CHECK(weight.requires_grad());
  CHECK(net->conv1->options.in_channels() == 1);
  net(at::randn({2, 1, 32, 32})).sum().backward();
  CHECK(weight.grad().sizes() == at::IntArrayRef{64, 1, 7, 7});
}

TEST_CASE("a network that cannot be adapted is an error, and is left as it was") {
  ResNet net = resnet18({.classes = 2, .in_channels = 1});
  CHECK_THROWS_WITH(adapt_first_convolution(net, 3), ContainsSubstring("[64, 1, 7, 7]"));
  CHECK(net->options.in_channels == 1);
  CHECK_THROWS_WITH(adapt_first_convolution(torch::nn::Sequential(torch::nn::Linear(3, 2)), 1),
                    ContainsSubstring("no Conv2d"));
  CHECK_THROWS_AS(adapt_first_convolution(ResNet(nullptr), 1), thaw::ConfigError);
}
