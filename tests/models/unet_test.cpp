// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/models/unet.hpp>

#include <thaw/models/convnext.hpp>
#include <thaw/models/efficientnet.hpp>
#include <thaw/models/efficientnet_lite.hpp>
#include <thaw/models/mobilenet_v2.hpp>
#include <thaw/models/mobilenet_v3.hpp>
#include <thaw/models/resnet.hpp>

#include "models/backbone.hpp"
#include "models/dynamic_unet.hpp"

#include <ATen/ops/allclose.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <torch/optim/adamw.h>
#include <stdexcept>
#include <thaw/groups/freeze.hpp>
#include <thaw/train/compiled_prefix.hpp>
#include <thaw/train/frozen_split.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace thaw::models;
using Catch::Matchers::ContainsSubstring;

namespace {

struct SmallOptions {
  std::int64_t classes = 3, in_channels = 3;
};

/// A backbone quick to train: three convolutions, of which two halve the resolution.
struct SmallImpl : FeaturesClassifier<SmallOptions> {
  explicit SmallImpl(const SmallOptions& options_ = {}) : FeaturesClassifier("Small", options_) {
    body->push_back(ConvNorm(ConvNormOptions{.in = options.in_channels, .out = 8, .activation = relu_in_place}));
    body->push_back(ConvNorm(ConvNormOptions{.in = 8, .out = 8, .stride = 2, .activation = relu_in_place}));
    body->push_back(ConvNorm(ConvNormOptions{.in = 8, .out = 16, .stride = 2, .activation = relu_in_place}));
    channels = 16;
    classifier->push_back(torch::nn::Linear(channels, options.classes));
  }
};
TORCH_MODULE(Small);

/// Channels and height of each, of an image of 64 pixels.
std::vector<std::string> taps(const UNet& net) {
  std::vector<std::string> list;
  for (const UNetTap& tap : net->taps) list.push_back(fmt::format("{}@{}", tap.channels, tap.height));
  return list;
}

/// What every body must give: a map of logits as large as the image, whatever its size.
template <class Model>
UNet check_body(Model body, std::int64_t images = 3) {
  UNet net = unet(body, {.classes = 5, .bottom = 8});
  const at::NoGradGuard no_grad;
  net->eval();
  CHECK(net(at::randn({1, images, 45, 66})).sizes() == at::IntArrayRef{1, 5, 45, 66});
  thaw::test::check_parts(net, {at::randn({1, images, 64, 64})}, net->forward_parts().size(), "decoder");
  return net;
}

}  // namespace

TEST_CASE("over a ResNet-18, logits, gradients and statistics are those of fastai's DynamicUnet") {
  const auto fixture = thaw::test::json_fixture("models/unet.json");
  REQUIRE(fixture["cases"].size() == 2);
  for (const auto& expected : fixture["cases"]) {
    const UNet net = thaw::test::dynamic_unet(expected);
    auto shapes = nlohmann::json::array();
    for (const auto& [name, tensor] : thaw::test::state_dict(*net)) shapes.push_back(tensor.sizes().vec());
    REQUIRE(shapes == expected["shapes"]);
    CHECK(thaw::test::count(*net) == expected["parameters"]);
    if (expected.contains("train")) REQUIRE(net->parameters().size() == expected["gradients"].size());
    thaw::test::check_limits(thaw::test::measure_unet(net, expected));
  }
}

TEST_CASE("a U-Net finds where each body's resolution changes") {
  using Taps = std::vector<std::string>;
  CHECK(taps(check_body(resnet18())) == Taps{"64@32", "64@16", "128@8", "256@4"});
  CHECK(taps(check_body(mobilenet_v2({.in_channels = 1}), 1)) == Taps{"16@32", "24@16", "32@8", "96@4"});
  CHECK(taps(check_body(mobilenet_v3_large())) == Taps{"16@32", "24@16", "40@8", "112@4"});
  CHECK(taps(check_body(efficientnet_b0())) == Taps{"16@32", "24@16", "40@8", "112@4"});
  CHECK(taps(check_body(efficientnet_lite0())) == Taps{"16@32", "24@16", "40@8", "112@4"});
  const UNet convnext = check_body(ConvNeXt(ConvNeXtOptions{.blocks = {1, 1, 1, 1}}));
  CHECK(taps(convnext) == Taps{"96@16", "192@8", "384@4"});
  CHECK(convnext->decoder->ups->size() == 2);
  const UNet small = check_body(Small());
  CHECK(taps(small) == Taps{"8@64", "8@32"});
  CHECK(small->decoder->ups->is_empty());
}

TEST_CASE("looking for taps leaves statistics and modes as they were") {
  Small body;
  body->body->children()[1]->eval();
  const auto statistics = thaw::test::running_statistics(*body).clone();
  const UNet net = unet(body, {});
  CHECK(at::equal(thaw::test::running_statistics(*body), statistics));
  CHECK(body->body->children()[0]->is_training());
  CHECK_FALSE(body->body->children()[1]->is_training());
  CHECK(net->is_training());
}

TEST_CASE("looking for taps puts modes back, of a module that two parts run and when a part throws") {
  const torch::nn::Conv2d conv(3, 3, 1);
  const torch::nn::Sequential block(conv, torch::nn::BatchNorm2d(3));
  block->children()[1]->eval();
  std::vector<thaw::ForwardPart> parts{{"first", conv}, {"again", conv}, {"block", block}};
  const auto check_modes = [&] {
    CHECK(conv->is_training());
    CHECK(block->is_training());
    CHECK_FALSE(block->children()[1]->is_training());
  };
  CHECK(find_taps(parts, 3).size() == 1);
  check_modes();
  parts.push_back({"bad", {}, [](const at::Tensor&) -> at::Tensor { throw std::runtime_error("not today"); }});
  CHECK_THROWS_WITH(find_taps(parts, 3), "not today");
  check_modes();
  parts.back() = {"flat", {}, [](const at::Tensor& x) { return x.flatten(); }};
  CHECK_THROWS_WITH(find_taps(parts, 3), ContainsSubstring("part flat gives no feature map"));
  check_modes();
}

TEST_CASE("a body that no U-Net can be made of keeps all but its head") {
  Small body;
  body->channels = 17;
  body->body->children()[1]->eval();
  const auto state = thaw::test::all_parameters(*body->body).clone();
  CHECK_THROWS_AS(unet(body, {}), thaw::ConfigError);
  CHECK(at::equal(thaw::test::all_parameters(*body), state));
  CHECK(body->body->children()[0]->is_training());
  CHECK_FALSE(body->body->children()[1]->is_training());
  body->channels = 16;
  replace_head(body, 3);
  CHECK(body(at::randn({2, 3, 8, 8})).sizes() == at::IntArrayRef{2, 3});
}

TEST_CASE("a U-Net's groups are its body's, cut where it is, and the decoder") {
  CHECK(unet_cuts(resnet_cuts()) == std::vector<std::string>{"body.layer3", "decoder"});
  UNet net = unet(resnet18(), {.bottom = 16});
  const auto groups = thaw::LayerGroups::cut_before(net, unet_cuts(resnet_cuts()));
  REQUIRE(groups.size() == 3);
  CHECK(groups[0].numel() + groups[1].numel() == thaw::test::count(*net->body));
  CHECK(groups[2].numel() == thaw::test::count(*net->decoder));
  CHECK(thaw::test::count(*net->body) == 11'176'512);
}

TEST_CASE("a U-Net's frozen body can be run apart from its decoder") {
  UNet net = unet(Small(), {});
  auto groups = thaw::LayerGroups::cut_before(net, {"decoder"});
  (void)thaw::apply(thaw::FreezeTo{1}, groups);
  const at::Tensor images = at::randn({2, 3, 9, 14});
  const thaw::FrozenSplit split = thaw::split_frozen(net, groups, images);
  REQUIRE(split.prefix.size() == 3);
  CHECK(split.end == "'decoder' trains");
  const thaw::Fields features = split.features(images);
  CHECK(features.size() == 1 + 2 + 1);  // the image, two taps, the end
  net->decoder->eval();
  CHECK(at::equal(split.output(features)[0], net(images)));
  const thaw::Fields compiled = thaw::CompiledPrefix(split)(images);
  CHECK(compiled.size() == 4);
  CHECK(at::allclose(split.output(compiled)[0], net(images), 1e-4, 1e-5));
}

TEST_CASE("gradients reach every parameter of a U-Net, which learns a shape within few steps") {
  at::manual_seed(0);
  UNet net = unet(Small(), {.classes = 2});
  const at::Tensor images = at::randn({4, 3, 18, 22});
  const at::Tensor target = (images.sum(1) > 0).to(at::kLong);
  torch::optim::AdamW optimizer(net->parameters(), torch::optim::AdamWOptions(1e-2));
  std::vector<double> losses;
  for (int step = 0; step < 20; ++step) {
    optimizer.zero_grad();
    const at::Tensor loss = at::cross_entropy_loss(net(images), target);
    loss.backward();
    if (step == 1)  // at first the last bias alone might be reached
      for (const auto& parameter : net->named_parameters()) {
        CAPTURE(parameter.key());
        REQUIRE(parameter.value().grad().defined());
        CHECK(parameter.value().grad().abs().max().item<double>() > 0);
      }
    optimizer.step();
    losses.push_back(loss.item<double>());
  }
  CHECK(losses.back() < losses.front() / 3);
}

TEST_CASE("a U-Net takes its body's dtype, mode and weights") {
  Small body;
  thaw::test::to_double(*body);
  body->eval();
  const at::Tensor weight = body->named_parameters()["features.0.0.weight"];
  UNet net = unet(body, {});
  CHECK_FALSE(net->decoder->is_training());
  CHECK(net(at::randn({1, 3, 8, 8}, at::kDouble)).scalar_type() == at::kDouble);
  CHECK(net->named_parameters()["body.features.0.0.weight"].is_same(weight));
  CHECK_FALSE(net->named_parameters().contains("body.classifier.0.weight"));
}

TEST_CASE("what no U-Net can be made of is an error that says why") {
  CHECK_THROWS_WITH(unet(Small(), {.classes = 0}), ContainsSubstring("unet: classes is 0"));
  CHECK_THROWS_WITH(unet(Small(), {.bottom = -1}), ContainsSubstring("bottom is -1"));
  CHECK_THROWS_AS(unet(Small(nullptr), {}), thaw::ConfigError);
  Small kept;
  CHECK_THROWS_AS(unet(kept, {.classes = 0}), thaw::ConfigError);
  CHECK(kept(at::randn({2, 3, 8, 8})).sizes() == at::IntArrayRef{2, 3});

  Small flat;
  flat->body = flat->replace_module("features", torch::nn::Sequential(ConvNorm(ConvNormOptions{.in = 3, .out = 16})));
  CHECK_THROWS_WITH(unet(flat, {}), ContainsSubstring("0 changes of resolution"));
  Small lying;
  lying->channels = 17;
  CHECK_THROWS_WITH(unet(lying, {}), ContainsSubstring("end in 16 channels") && ContainsSubstring("have 17"));
  CHECK_THROWS_AS(unet(Small(), {})(at::randn({1, 1, 8, 8})), thaw::DataError);
}
