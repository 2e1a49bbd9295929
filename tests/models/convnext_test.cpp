// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/models/convnext.hpp>

#include "models/backbone.hpp"

#include <thaw/groups/freeze.hpp>
#include <thaw/train/frozen_split.hpp>

#include <ATen/ops/allclose.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/layer_norm.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace thaw::models;
using Catch::Matchers::ContainsSubstring;

static_assert(Backbone<ConvNeXtImpl>);

namespace {

/// As deep as a ConvNeXt can be made small: one block a stage, but three in the third.
ConvNeXt small(ConvNeXtOptions options = {}) {
  options.blocks = {1, 1, 3, 1};
  options.channels = {4, 8, 12, 16};
  return ConvNeXt(options);
}

}  // namespace

TEST_CASE("with weights by formula, ConvNeXt-Tiny gives torchvision's numbers") {
  const auto fixture = thaw::test::json_fixture("models/convnext.json");
  thaw::test::check_parity(convnext_tiny({.stochastic_depth = 0}), fixture["cases"][0], fixture["images"]);
}

TEST_CASE("from the same seed, ConvNeXt-Tiny's initial values are torchvision's") {
  at::manual_seed(1);
  const ConvNeXt net = convnext_tiny();
  thaw::test::check_initial_values(net, thaw::test::json_fixture("models/convnext.json")["cases"][0]);
  const auto parameters = net->named_parameters();
  CHECK(at::equal(parameters["features.1.0.layer_scale"], at::full({96, 1, 1}, 1e-6f)));
  CHECK(parameters["features.1.0.block.0.bias"].abs().max().item<double>() == 0);
  CHECK(parameters["classifier.2.bias"].abs().max().item<double>() == 0);
}

TEST_CASE("ConvNeXt takes images from 32 pixels on, with any number of channels and classes") {
  thaw::test::check_grey(small({.classes = 3, .in_channels = 1}), {2, 16, 1, 2});
}

TEST_CASE("ConvNeXt's parts, one after the other, are its forward pass") {
  ConvNeXt net = small({.classes = 5});
  const at::Tensor images = at::randn({1, 3, 40, 40});
  CHECK(thaw::forward_parts(net)[3].name == "features.2.0");
  thaw::test::check_parts(net, {images}, 2 + 3 * 2 + 6 + 1 + 3, "classifier.2");
  replace_head(net, 3);
  thaw::test::check_parts(net, {images}, 2 + 3 * 2 + 6 + 9, "head.8");
}

TEST_CASE("with a new head, ConvNeXt's cuts make three groups") {
  thaw::test::check_cuts(convnext_tiny(), convnext_cuts(), 1'235'040, 26'583'552);
}

TEST_CASE("layer norm over the channels of each pixel") {
  const at::Tensor x = at::randn({2, 5, 3, 4}) * 1e-3;  // small, so that epsilon counts
  LayerNorm2d norm(5);
  const at::Tensor expected = at::layer_norm(x.permute({0, 2, 3, 1}), {5}, {}, {}, 1e-6).permute({0, 3, 1, 2});
  CHECK(at::allclose(norm(x), expected));
  CHECK(norm(x).sizes() == x.sizes());
}

TEST_CASE("ConvNeXt's stochastic depth rises from block to block, to the last") {
  const ConvNeXt net = convnext_tiny({.stochastic_depth = 0.17});
  std::vector<double> drops;
  for (const auto& layer : net->modules())
    if (const auto* block = layer->as<ConvNeXtBlock>()) drops.push_back(block->drop);
  REQUIRE(drops.size() == 18);
  for (std::size_t i = 0; i < drops.size(); ++i) CHECK(std::abs(drops[i] - 0.01 * static_cast<double>(i)) < 1e-12);
  CHECK(ConvNeXtOptions{}.stochastic_depth == 0.1);
}

TEST_CASE("a ConvNeXt block drops examples in training alone") {
  ConvNeXtBlock block(4, /*layer_scale=*/1, /*drop=*/0.999);
  const at::Tensor x = at::randn({4, 4, 5, 5});
  at::manual_seed(0);
  CHECK(at::equal(block(x), x));
  block->eval();
  CHECK_FALSE(at::equal(block(x), x));
  CHECK(at::equal(block(x), block(x)));
}

TEST_CASE("what ConvNeXt cannot take is an error that says what it can") {
  CHECK_THROWS_WITH(small()(at::empty({1, 3, 31, 64})),
                    ContainsSubstring("ConvNeXt::features") && ContainsSubstring("[N, 3, H, W] of 32 pixels or more"));
  CHECK_THROWS_WITH(ConvNeXt(ConvNeXtOptions{.classes = 0}), ContainsSubstring("ConvNeXt: classes is 0"));
  CHECK_THROWS_WITH(ConvNeXt(ConvNeXtOptions{.blocks = {3, 3, 0, 3}}), ContainsSubstring("blocks is [3, 3, 0, 3]"));
  CHECK_THROWS_WITH(ConvNeXt(ConvNeXtOptions{.stochastic_depth = 1}), ContainsSubstring("stochastic_depth is 1"));
}

TEST_CASE("a ConvNeXt-Tiny is frozen up to its head, or with stochastic depth up to the first block that skips") {
  const auto end = [](auto net) {
    auto groups = thaw::LayerGroups::cut_before(net, {"classifier"});
    (void)thaw::apply(thaw::FreezeTo{1}, groups);
    return thaw::split_frozen(net, groups, at::randn({2, 3, 32, 32})).end;
  };
  CHECK_THAT(end(convnext_tiny({.stochastic_depth = 0})), Catch::Matchers::StartsWith("'classifier.0' "));
  CHECK_THAT(end(convnext_tiny()), Catch::Matchers::StartsWith("'features.1.1' draws random numbers"));
}

TEST_CASE("layer scales of a ConvNeXt do not decay; its kernels and matrices do") {
  const auto groups = thaw::LayerGroups::cut_before(small(), {"classifier"});
  for (const auto& group : groups)
    for (const auto& parameter : group.parameters) {
      CAPTURE(parameter.name);
      CHECK(parameter.decays == (parameter.name.ends_with("weight") && parameter.tensor.dim() > 1));
    }
}
