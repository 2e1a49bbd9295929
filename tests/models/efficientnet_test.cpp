// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/models/efficientnet.hpp>

#include "models/backbone.hpp"
#include "models/norms.hpp"

#include <thaw/groups/freeze.hpp>
#include <thaw/train/frozen_split.hpp>

#include <ATen/ops/empty.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace thaw::models;
using Catch::Matchers::ContainsSubstring;

static_assert(Backbone<EfficientNetImpl>);

TEST_CASE("with weights by formula, EfficientNet-B0 gives torchvision's numbers") {
  const auto fixture = thaw::test::json_fixture("models/efficientnet.json");
  thaw::test::check_parity(efficientnet_b0({.dropout = 0, .stochastic_depth = 0}), fixture["cases"][0],
                           fixture["images"]);
}

TEST_CASE("from the same seed, EfficientNet-B0's initial values are torchvision's") {
  at::manual_seed(1);
  thaw::test::check_initial_values(efficientnet_b0(), thaw::test::json_fixture("models/efficientnet.json")["cases"][0]);
}

TEST_CASE("EfficientNet takes images of any size, with any number of channels and classes") {
  thaw::test::check_grey(efficientnet_b0({.classes = 3, .in_channels = 1}), {2, 1280, 2, 3});
}

TEST_CASE("EfficientNet's parts, one after the other, are its forward pass") {
  EfficientNet net = efficientnet_b0({.classes = 5});
  const at::Tensor images = at::randn({1, 3, 40, 40});
  CHECK(thaw::forward_parts(net)[2].name == "features.2.0");
  thaw::test::check_parts(net, {images}, 2 + 16 + 1 + 2, "classifier.1");
  replace_head(net, 3);
  thaw::test::check_parts(net, {images}, 2 + 16 + 9, "head.8");
}

TEST_CASE("with a new head, EfficientNet's cuts make three groups") {
  thaw::test::check_cuts(efficientnet_b0(), efficientnet_cuts(), 65'730, 3'941'818);
}

TEST_CASE("EfficientNet's stochastic depth rises from block to block") {
  const EfficientNet net = efficientnet_b0({.stochastic_depth = 0.16});
  std::vector<double> drops;
  for (const auto& layer : net->modules())
    if (const auto* block = layer->as<InvertedResidual>()) drops.push_back(block->options.drop);
  REQUIRE(drops.size() == 16);
  for (std::size_t i = 0; i < drops.size(); ++i) CHECK(std::abs(drops[i] - 0.01 * static_cast<double>(i)) < 1e-12);
  CHECK(EfficientNetOptions{}.stochastic_depth == 0.2);
}

TEST_CASE("EfficientNet's other options reach every layer") {
  EfficientNet net = efficientnet_b0({.dropout = 0.9, .bn_eps = 1e-3, .bn_momentum = 0.01});
  CHECK(thaw::test::count_norms(*net, 1e-3, 0.01) == 49);
  const at::Tensor means = at::ones({1, 1280});
  CHECK_FALSE(at::equal(net->classifier->forward(means), net->classifier->forward(means)));
  net->eval();
  CHECK(at::equal(net->classifier->forward(means), net->classifier->forward(means)));
}

TEST_CASE("what EfficientNet cannot take is an error that says what it can") {
  CHECK_THROWS_WITH(efficientnet_b0()(at::empty({1, 1, 64, 64})), ContainsSubstring("EfficientNet::features"));
  CHECK_THROWS_WITH(efficientnet_b0({.classes = 0}), ContainsSubstring("EfficientNet: classes is 0"));
  CHECK_THROWS_WITH(efficientnet_b0({.dropout = 1}), ContainsSubstring("dropout is 1"));
  CHECK_THROWS_WITH(efficientnet_b0({.stochastic_depth = 1.5}), ContainsSubstring("stochastic_depth is 1.5"));
  CHECK_THROWS_WITH(efficientnet_b0({.bn_momentum = 99}), ContainsSubstring("bn_momentum is 99"));
}

TEST_CASE("an EfficientNet-B0 is frozen up to its head, or with stochastic depth up to the first block that skips") {
  const auto end = [](auto net) {
    auto groups = thaw::LayerGroups::cut_before(net, {"classifier"});
    (void)thaw::apply(thaw::FreezeTo{1}, groups);
    return thaw::split_frozen(net, groups, at::randn({2, 3, 32, 32})).end;
  };
  CHECK_THAT(end(efficientnet_b0({.stochastic_depth = 0})), Catch::Matchers::StartsWith("'classifier.0' "));
  CHECK_THAT(end(efficientnet_b0()), Catch::Matchers::StartsWith("'features.2.1' draws random numbers"));
}
