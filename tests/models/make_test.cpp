// SPDX-License-Identifier: BSD-3-Clause
#include <ATen/Context.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <map>
#include <string>
#include <thaw/groups/layer_groups.hpp>
#include <thaw/models/efficientnet.hpp>
#include <thaw/models/make.hpp>
#include <thaw/models/resnet.hpp>
#include <thaw/models/vit.hpp>
#include <vector>

#include "support/nets.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
namespace models = thaw::models;

namespace {

models::Shapes shapes_of(const torch::nn::Module& module) {
  models::Shapes shapes;
  for (const auto& [name, tensor] : thaw::test::state_of(module)) shapes[name] = tensor.sizes().vec();
  return shapes;
}

template <class Act>
std::string complaint(const Act& act) {
  try {
    act();
  } catch (const thaw::ConfigError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("Each name makes a network that runs, with groups, and a new head; names are those of the functions") {
  const std::vector<std::string> names = models::network_names();
  CHECK(names.size() == 18);
  for (const std::string& name : names) {
    CAPTURE(name);
    if (name == "wide_resnet50_2" || name == "vit_b_16" || name == "efficientnet_lite4") continue;  // large
    models::Network net = models::make(name, {.classes = 7});
    CHECK(net->architecture() == name);
    models::replace_head(net, 3);
    CHECK(thaw::LayerGroups::cut_before(net, net->cuts()).size() == 3);
    net->eval();
    const c10::NoGradGuard no_grad;
    const std::int64_t side = net->pools_features() ? 224 : 32;
    CHECK(net->forward(at::randn({1, 3, side, side})).sizes() == at::IntArrayRef{1, 3});
  }
  CHECK(models::make("efficientnet_lite0")->statistics().mean == thaw::lite_statistics.mean);
  CHECK(models::make("resnet18")->statistics().mean == thaw::imagenet_statistics.mean);
}

TEST_CASE("A network by name has the names, values and outputs of the one that its function makes") {
  at::manual_seed(1);
  models::ResNet typed = models::resnet18({.classes = 5, .in_channels = 1});
  at::manual_seed(1);
  models::Network net = models::make("resnet18", {.classes = 5, .in_channels = 1});
  const auto expected = thaw::test::state_of(*typed), state = thaw::test::state_of(*net);
  REQUIRE(state.size() == expected.size());
  for (const auto& [name, tensor] : expected) CHECK(state.at(name).equal(tensor));
  const at::Tensor x = at::randn({2, 1, 32, 32});
  typed->eval();
  net->eval();
  CHECK(net->forward(x).equal(typed->forward(x)));
  CHECK(net->forward_parts().size() == typed->forward_parts().size());
}

TEST_CASE("train() and to() reach the network below, whose own parameters are the same objects") {
  models::Network net = models::make("deit_tiny_patch16_224", {.classes = 2});
  net->to(at::kDouble);
  net->eval();
  const c10::NoGradGuard no_grad;
  CHECK(net->forward(at::zeros({1, 3, 224, 224}, at::kDouble)).scalar_type() == at::kDouble);
  models::Network dropping = models::Network(models::Architecture{.name = "vit"},
                                             models::VisionTransformer(models::VitOptions{.classes = 2,
                                                                                          .image_size = 32,
                                                                                          .patch_size = 16,
                                                                                          .width = 8,
                                                                                          .depth = 1,
                                                                                          .heads = 1,
                                                                                          .mlp_width = 8,
                                                                                          .dropout = 0.9}));
  const at::Tensor x = at::randn({1, 3, 32, 32});
  const auto features = [&] { return dropping->features(x); };  // dropout is the root's own
  CHECK_FALSE(features().equal(features()));
  dropping->eval();
  CHECK(features().equal(features()));
}

TEST_CASE("Options reach the networks that have them; others refuse them") {
  CHECK(models::make("vit_b_16", {.image_size = 32})->parameters().size() > 0);
  const auto parts = models::make("efficientnet_b0", {.bn_eps = 1e-3});
  double eps = 0;
  for (const auto& module : parts->modules(/*include_self=*/false))
    if (auto* norm = module->as<torch::nn::BatchNorm2d>()) eps = norm->options.eps();
  CHECK(eps == 1e-3);
  CHECK_THAT(complaint([] { (void)models::make("resnet18", {.bn_eps = 1e-3}); }),
             ContainsSubstring("resnet18 has no bn_eps") && ContainsSubstring("leave it unset"));
  CHECK_THAT(complaint([] { (void)models::make("resnet18", {.image_size = 96}); }),
             ContainsSubstring("resnet18 has no image_size"));
}

TEST_CASE("A name that is none is an error with the nearest, and with all there are") {
  CHECK_THAT(complaint([] { (void)models::make("resnt34"); }),
             StartsWith("models::make: there is no network for images named \"resnt34\"") &&
                 ContainsSubstring("did you mean \"resnet34\"? There are: convnext_tiny, ") &&
                 ContainsSubstring("wide_resnet50_2"));
}

TEST_CASE("A head is told by the tensors of a file: the network's own, linear_head's, create_head's with its options") {
  const auto remade = [](const std::string& name, const auto& change) {
    models::Network net =
        models::make(name, {.classes = 4, .image_size = name == "vit_b_16" ? std::optional(32L) : std::nullopt});
    change(net);
    const models::Shapes shapes = shapes_of(*net);
    models::Network other = models::make(
        name, {.classes = 4, .image_size = name == "vit_b_16" ? std::optional(32L) : std::nullopt}, shapes);
    std::vector<std::string> layers;
    for (const auto& [key, module] : other->named_modules("", false).pairs())
      if (key.starts_with("head.")) layers.push_back(module->name());
    CHECK(shapes_of(*other) == shapes);
    return layers.size();
  };
  for (const std::string name : {"resnet18", "mobilenet_v2", "deit_tiny_patch16_224"}) {
    CAPTURE(name);
    remade(name, [](models::Network&) {});
    remade(name, [](models::Network& net) {
      replace_head(net, models::linear_head(net->head_features(), 4, 0.3, !net->pools_features()));
    });
    remade(name, [](models::Network& net) { replace_head(net, 4); });
    for (const models::HeadOptions& options :
         {models::HeadOptions{.hidden = {}}, models::HeadOptions{.hidden = {32, 16}, .dropout = 0},
          models::HeadOptions{.concat_pool = false}, models::HeadOptions{.hidden = {8}, .bn_final = true},
          models::HeadOptions{.hidden = {}, .dropout = 0, .concat_pool = false, .bn_final = true}})
      remade(name, [&](models::Network& net) { replace_head(net, 4, options); });
  }
  CHECK(remade("resnet18", [](models::Network& net) { replace_head(net, 4); }) == 9);
}

TEST_CASE("Another head is an error that names its tensors, and nothing is allocated that the file does not have") {
  models::Network net = models::make("resnet18", {.classes = 4});
  replace_head(net, torch::nn::Sequential(torch::nn::AdaptiveAvgPool2d(1), torch::nn::Flatten(),
                                          torch::nn::Linear(512, 16), torch::nn::GELU(), torch::nn::Linear(16, 4)));
  const auto make_like = [](const models::Shapes& shapes) { (void)models::make("resnet18", {.classes = 4}, shapes); };
  CHECK_THAT(complaint([&] { make_like(shapes_of(*net)); }),
             ContainsSubstring("the tensors head.2.bias, head.2.weight, head.4.bias, head.4.weight are of no head") &&
                 ContainsSubstring("512 features and 4 classes") && ContainsSubstring("TorchScript"));
  const std::int64_t huge = std::int64_t{1} << 40;
  for (const models::Shapes& hostile :
       {models::Shapes{{"head.0.weight", {1024}}, {"head.1.weight", {huge, 0}}, {"head.3.weight", {4, huge}}},
        models::Shapes{{"head.99999999999999999999.weight", {3}}}, models::Shapes{{"head..weight", {1}}},
        models::Shapes{{"head.0.weight", {}}}})
    CHECK_THAT(complaint([&] { make_like(hostile); }), ContainsSubstring("are of no head"));
  models::Shapes other_classes = shapes_of(*models::make("resnet18", {.classes = 4}));
  other_classes["head.3.weight"] = {9, 512};
  CHECK_THAT(complaint([&] { make_like(other_classes); }), ContainsSubstring("are of no head"));
}
