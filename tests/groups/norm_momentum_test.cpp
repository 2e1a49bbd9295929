// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/groups/norm_momentum.hpp>

#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/instancenorm.h>
#include <torch/nn/modules/linear.h>

#include <ATen/ops/full.h>
#include <cmath>

#include <catch2/catch_test_macros.hpp>

using thaw::set_norm_momentum;
using namespace torch::nn;

TEST_CASE("set_norm_momentum reaches every batch norm, however deep, and changes how its statistics move") {
  Module net;
  Sequential inner{BatchNorm1d(2), Linear(2, 2)};
  InstanceNorm2d tracking(InstanceNorm2dOptions(2).track_running_stats(true));
  net.register_module("outer", ModuleList(BatchNorm2d(2), BatchNorm3d(2), inner, InstanceNorm2d(2), tracking));
  CHECK(set_norm_momentum(net, 0.25) == 4);
  CHECK(thaw::norm_momentum(*tracking) == 0.25);

  auto& norm = *inner->children()[0]->as<BatchNorm1d>();
  inner->forward(at::full({4, 2}, 8.0));
  CHECK(norm.running_mean[0].item<double>() == 2);  // .75 * 0 + .25 * 8
  CHECK(set_norm_momentum(net, 1) == 4);
  inner->forward(at::full({4, 2}, 5.0));
  CHECK(norm.running_mean[0].item<double>() == 5);
}

TEST_CASE("a network without batch norm has none to set") {
  Linear net(2, 2);
  CHECK(set_norm_momentum(*net, 0.1) == 0);
  CHECK_FALSE(thaw::norm_momentum(*net).has_value());
}

TEST_CASE("a batch norm on its own is set too") {
  BatchNorm1d norm(2);
  CHECK(set_norm_momentum(*norm, 0.3) == 1);
  CHECK(norm->options.momentum() == 0.3);
}

TEST_CASE("a momentum outside [0, 1] is an error, and sets nothing") {
  BatchNorm1d norm(2);
  for (const double wrong : {-0.01, 1.5, std::nan("")})
    CHECK_THROWS_AS(set_norm_momentum(*norm, wrong), thaw::ConfigError);
  CHECK(norm->options.momentum() == 0.1);
}
