// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/models/mobilenet_v2.hpp>

#include "models/backbone.hpp"

#include <ATen/ops/empty.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace thaw::models;
using Catch::Matchers::ContainsSubstring;

static_assert(Backbone<MobileNetV2Impl>);

TEST_CASE("with weights by formula, MobileNetV2 gives torchvision's numbers") {
  const auto fixture = thaw::test::json_fixture("models/mobilenet_v2.json");
  thaw::test::check_parity(mobilenet_v2({.dropout = 0}), fixture["cases"][0], fixture["images"]);
}

TEST_CASE("from the same seed, MobileNetV2's initial values are torchvision's") {
  at::manual_seed(1);
  thaw::test::check_initial_values(mobilenet_v2(), thaw::test::json_fixture("models/mobilenet_v2.json")["cases"][0]);
}

TEST_CASE("MobileNetV2 takes images of any size, with any number of channels and classes") {
  thaw::test::check_grey(mobilenet_v2({.classes = 3, .in_channels = 1}), {2, 1280, 2, 3});
}

TEST_CASE("MobileNetV2's parts, one after the other, are its forward pass") {
  MobileNetV2 net = mobilenet_v2({.classes = 5});
  const at::Tensor images = at::randn({1, 3, 40, 40});
  thaw::test::check_parts(net, {images}, 19 + 1 + 2, "classifier.1");
  replace_head(net, 3);
  thaw::test::check_parts(net, {images}, 19 + 9, "head.8");
}

TEST_CASE("with a new head, MobileNetV2's cuts make three groups") {
  thaw::test::check_cuts(mobilenet_v2(), mobilenet_v2_cuts(), 55'488, 2'168'384);
}

TEST_CASE("MobileNetV2 drops out before its classifier, in training alone") {
  MobileNetV2 net = mobilenet_v2({.dropout = 0.9});
  const at::Tensor means = at::ones({1, 1280});
  CHECK_FALSE(at::equal(net->classifier->forward(means), net->classifier->forward(means)));
  net->eval();
  CHECK(at::equal(net->classifier->forward(means), net->classifier->forward(means)));
  CHECK(mobilenet_v2()->options.dropout == 0.2);
}

TEST_CASE("what MobileNetV2 cannot take is an error that says what it can") {
  MobileNetV2 net = mobilenet_v2();
  CHECK_THROWS_AS(thaw::forward_parts(net)[0].forward({at::empty({3, 64, 64})}), thaw::DataError);
  CHECK_THROWS_WITH(
      net(at::empty({1, 1, 64, 64})),
      ContainsSubstring("MobileNetV2::features: the images are [1, 1, 64, 64]") && ContainsSubstring("[N, 3, H, W]"));
  CHECK_THROWS_WITH(mobilenet_v2({.classes = 0}), ContainsSubstring("MobileNetV2: classes is 0"));
  CHECK_THROWS_WITH(mobilenet_v2({.in_channels = 0}), ContainsSubstring("in_channels is 0"));
  CHECK_THROWS_WITH(mobilenet_v2({.dropout = 1}), ContainsSubstring("dropout is 1"));
}
