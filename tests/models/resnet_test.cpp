// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/models/resnet.hpp>

#include <thaw/groups/layer_groups.hpp>
#include <thaw/models/heads.hpp>

#include "models/backbone.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <stdexcept>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace thaw::models;
using Catch::Matchers::ContainsSubstring;
using thaw::test::count;

static_assert(Backbone<ResNetImpl>);

namespace {

ResNet make(const std::string& name, const ResNetOptions& options = {}) {
  if (name == "resnet18") return resnet18(options);
  if (name == "resnet34") return resnet34(options);
  if (name == "resnet50") return resnet50(options);
  if (name == "resnet101") return resnet101(options);
  if (name == "resnext50_32x4d") return resnext50_32x4d(options);
  if (name == "wide_resnet50_2") return wide_resnet50_2(options);
  throw std::invalid_argument(name);
}

}  // namespace

TEST_CASE("with weights by formula, ResNet's logits, gradients and statistics are torchvision's") {
  const auto fixture = thaw::test::json_fixture("models/resnet.json");
  REQUIRE(fixture["cases"].size() == 6);
  for (const auto& expected : fixture["cases"])
    thaw::test::check_parity(make(expected["name"]), expected, fixture["images"]);
}

TEST_CASE("from the same seed, ResNet's initial values are torchvision's") {
  const auto fixture = thaw::test::json_fixture("models/resnet.json");
  for (const auto& expected : fixture["cases"]) {
    at::manual_seed(1);
    thaw::test::check_initial_values(make(expected["name"]), expected);
  }
}

TEST_CASE("blocks can start as their shortcuts") {
  for (const char* name : {"resnet18", "resnet50"}) {
    const ResNet net = make(name, {.zero_init_residual = true});
    for (const auto& block : net->layer2->children()) {
      CHECK(block->as<ResNetBlock>()->last_norm()->weight.abs().max().item<double>() == 0);
      CHECK(block->as<ResNetBlock>()->bn1->weight.min().item<double>() == 1);
    }
    auto& identity = *net->layer2->children()[1]->as<ResNetBlock>();
    const at::Tensor x = at::randn({2, identity.options.in, 4, 4}).abs();
    CHECK(at::equal(identity.forward(x), x));
  }
}

TEST_CASE("a forward pass leaves the images and a block's input alone") {
  ResNet net = resnet18({.classes = 2});
  const at::Tensor x = at::randn({2, 3, 40, 40}), copy = x.clone();
  net(x);
  CHECK(at::equal(x, copy));
  const at::Tensor maps = at::randn({2, 64, 8, 8}), maps_copy = maps.clone();
  net->layer1->forward(maps);
  CHECK(at::equal(maps, maps_copy));
}

TEST_CASE("gradients flow through norms that are held, frozen layers among them") {
  ResNet net = resnet50({.classes = 2});
  net->eval();
  for (const at::Tensor& parameter : net->layer2->parameters()) parameter.set_requires_grad(false);
  net(at::randn({2, 3, 40, 40})).pow(2).sum().backward();
  for (const auto& parameter : net->named_parameters()) {
    CAPTURE(parameter.key());
    CHECK(parameter.value().grad().defined() != parameter.key().starts_with("layer2."));
  }
}

TEST_CASE("ResNet takes images of any size, with any number of channels and classes") {
  ResNet net = resnet18({.classes = 3, .in_channels = 1});
  net->eval();
  const at::NoGradGuard no_grad;
  CHECK(net->features(at::randn({2, 1, 33, 95})).sizes() == at::IntArrayRef{2, 512, 2, 3});
  CHECK(net(at::randn({2, 1, 31, 70})).sizes() == at::IntArrayRef{2, 3});
  CHECK(net(at::randn({1, 1, 1, 1})).sizes() == at::IntArrayRef{1, 3});
  CHECK(net->head_features() == 512);
}

TEST_CASE("images that ResNet cannot take are an error that says which it can") {
  ResNet net = resnet18();
  for (const at::Tensor& wrong : {at::empty({1, 1, 64, 64}), at::empty({3, 64, 64})})
    CHECK_THROWS_AS(net(wrong), thaw::DataError);
  CHECK_THROWS_WITH(net(at::empty({1, 1, 64, 64})),
                    ContainsSubstring("[1, 1, 64, 64]") && ContainsSubstring("[N, 3, H, W]"));
}

TEST_CASE("ResNet's options out of range are errors, each with its fix") {
  const std::vector<std::pair<ResNetOptions, const char*>> wrong{
      {{.classes = 0}, "classes is 0"},
      {{.in_channels = -1}, "in_channels is -1"},
      {{.blocks = {2, 2, 0, 2}}, "blocks is [2, 2, 0, 2]"},
      {{.bottleneck = true, .groups = 0}, "groups is 0"},
      {{.bottleneck = true, .width_per_group = 0}, "width_per_group 0"},
      {{.groups = 32}, "set bottleneck"},
      {{.width_per_group = 128}, "set bottleneck"}};
  for (const auto& [options, problem] : wrong) {
    CHECK_THROWS_AS(ResNet(options), thaw::ConfigError);
    CHECK_THROWS_WITH(ResNet(options), ContainsSubstring(problem) && ContainsSubstring("fix:"));
  }
}

TEST_CASE("with a new head, the cuts make fastai's three groups") {
  ResNet net = resnet34();
  CHECK(count(*net) == 21'797'672);
  replace_head(net, 10);
  CHECK(net->named_children().keys() ==
        std::vector<std::string>{"conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "head"});

  const auto groups = thaw::LayerGroups::cut_before(net, resnet_cuts());
  REQUIRE(groups.size() == 3);
  CHECK(groups[0].numel() == 1'347'904);
  CHECK(groups[0].numel() + groups[1].numel() == 21'284'672);
  CHECK(groups[2].numel() == count(*create_head(512, 10)));

  CHECK(net(at::randn({2, 3, 64, 64})).sizes() == at::IntArrayRef{2, 10});
  replace_head(net, linear_head(512, 4));
  CHECK(net(at::randn({2, 3, 64, 64})).sizes() == at::IntArrayRef{2, 4});
}

TEST_CASE("ResNet's parts, one after the other, are its forward pass") {
  ResNet net = resnet18({.classes = 5});
  const at::Tensor images = at::randn({2, 3, 64, 64});
  thaw::test::check_parts(net, {images}, 2 + 8 + 2, "fc");
  replace_head(net, 3);
  thaw::test::check_parts(net, {images}, 2 + 8 + 9, "head.8");
}
