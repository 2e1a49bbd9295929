// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/models/mobilenet_v3.hpp>

#include "models/backbone.hpp"
#include "models/norms.hpp"

#include <ATen/ops/empty.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace thaw::models;
using Catch::Matchers::ContainsSubstring;

static_assert(Backbone<MobileNetV3Impl>);

TEST_CASE("with weights by formula, MobileNetV3-Large gives torchvision's numbers") {
  const auto fixture = thaw::test::json_fixture("models/mobilenet_v3.json");
  thaw::test::check_parity(mobilenet_v3_large({.dropout = 0}), fixture["cases"][0], fixture["images"]);
}

TEST_CASE("from the same seed, MobileNetV3-Large's initial values are torchvision's") {
  at::manual_seed(1);
  thaw::test::check_initial_values(mobilenet_v3_large(),
                                   thaw::test::json_fixture("models/mobilenet_v3.json")["cases"][0]);
}

TEST_CASE("MobileNetV3 takes images of any size, with any number of channels and classes") {
  thaw::test::check_grey(mobilenet_v3_large({.classes = 3, .in_channels = 1}), {2, 960, 2, 3});
}

TEST_CASE("MobileNetV3's parts, one after the other, are its forward pass") {
  MobileNetV3 net = mobilenet_v3_large({.classes = 5});
  const at::Tensor images = at::randn({1, 3, 40, 40});
  thaw::test::check_parts(net, {images}, 17 + 1 + 4, "classifier.3");
  replace_head(net, 3);
  thaw::test::check_parts(net, {images}, 17 + 9, "head.8");
}

TEST_CASE("with a new head, MobileNetV3's cuts make three groups") {
  thaw::test::check_cuts(mobilenet_v3_large(), mobilenet_v3_cuts(), 61'120, 2'910'832);
}

TEST_CASE("MobileNetV3's options reach every layer") {
  MobileNetV3 net = mobilenet_v3_large({.dropout = 0.9, .bn_eps = 1e-4, .bn_momentum = 0.3});
  CHECK(thaw::test::count_norms(*net, 1e-4, 0.3) == 46);
  const at::Tensor means = at::ones({1, 960});
  CHECK_FALSE(at::equal(net->classifier->forward(means), net->classifier->forward(means)));
  net->eval();
  CHECK(at::equal(net->classifier->forward(means), net->classifier->forward(means)));
  CHECK(mobilenet_v3_large()->options.dropout == 0.2);
}

TEST_CASE("what MobileNetV3 cannot take is an error that says what it can") {
  CHECK_THROWS_WITH(mobilenet_v3_large()(at::empty({1, 1, 64, 64})), ContainsSubstring("MobileNetV3::features"));
  CHECK_THROWS_WITH(mobilenet_v3_large({.classes = 0}), ContainsSubstring("MobileNetV3: classes is 0"));
  CHECK_THROWS_WITH(mobilenet_v3_large({.dropout = -1}), ContainsSubstring("dropout is -1"));
  CHECK_THROWS_WITH(mobilenet_v3_large({.bn_eps = 0}), ContainsSubstring("bn_eps 0"));
}
