// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/models/efficientnet_lite.hpp>
#include <thaw/models/heads.hpp>

#include <thaw/weights/load.hpp>

#include "models/norms.hpp"
#include "models/parity.hpp"

#include <ATen/Context.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <functional>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace thaw::models;
using Catch::Matchers::ContainsSubstring;
using thaw::test::distance;
using thaw::test::wave;

namespace {

using Factory = EfficientNetLite (*)(const EfficientNetLiteOptions&);
constexpr std::array<Factory, 5> factories{efficientnet_lite0, efficientnet_lite1, efficientnet_lite2,
                                           efficientnet_lite3, efficientnet_lite4};

/// Compares with what the Python original gives for the same input.
void check_case(EfficientNetLite& net, const nlohmann::json& expected) {
  const at::NoGradGuard no_grad;
  net->eval();
  const auto shape = expected["shape"].get<std::vector<std::int64_t>>();
  const at::Tensor x = wave(shape, expected["w"]).to(at::kFloat);
  const at::Tensor maps = net->features(x), logits = net(x);
  CAPTURE(shape);
  CHECK(maps.sizes().vec() == expected["features_shape"].get<std::vector<std::int64_t>>());
  CHECK(distance(maps.mean({1, 2, 3}), expected["features_mean"]) < 1e-4);
  CHECK(distance(logits.slice(1, 0, 20), expected["logits"]) < 1e-4);
  CHECK(distance(logits.argmax(1), expected["argmax"]) == 0);
}

}  // namespace

TEST_CASE("names, order and shapes in the state dict are the published file's") {
  const auto net = efficientnet_lite0();
  CHECK(thaw::test::names_and_shapes(*net) == thaw::test::json_fixture("models/efficientnet_lite0_state.json"));
}

TEST_CASE("with the published weights, features and logits are the Python original's") {
  const auto path = thaw::test::fetched("efficientnet-lite0-57934424.pth");
  auto net = efficientnet_lite0();
  thaw::load_weights(*net, path);
  const auto fixture = thaw::test::json_fixture("models/efficientnet_lite0.json");
  REQUIRE(fixture["cases"].size() == 4);
  for (const auto& expected : fixture["cases"]) check_case(net, expected);
}

TEST_CASE("lite0 to lite4 with weights by formula give the Python originals' numbers") {
  const auto fixture = thaw::test::json_fixture("models/efficientnet_lite.json").at("variants");
  for (std::size_t i = 0; i < factories.size(); ++i) {
    CAPTURE(i);
    auto net = factories[i]({});
    thaw::test::fill(*net);
    CHECK(thaw::test::state_dict(*net).size() == fixture[i]["tensors"]);
    CHECK(thaw::test::count(*net) == fixture[i]["parameters"]);
    CHECK(net->options.dropout == (i < 2 ? 0.2 : 0.3));
    check_case(net, fixture[i]["cases"][0]);
  }
}

TEST_CASE("in training, the logits, statistics and gradients of lite0 to lite4 are the Python originals'") {
  const auto fixture = thaw::test::json_fixture("models/efficientnet_lite.json");
  REQUIRE(fixture["cases"].size() == factories.size());
  for (std::size_t i = 0; i < factories.size(); ++i)
    thaw::test::check_parity(factories[i]({.dropout = 0}), fixture["cases"][i], fixture["images"]);
}

TEST_CASE("any size from 32 pixels on works, with any number of channels and classes") {
  auto net = efficientnet_lite0({.classes = 3, .in_channels = 1});
  net->eval();
  const at::NoGradGuard no_grad;
  CHECK(net->features(at::randn({2, 1, 33, 95})).sizes() == at::IntArrayRef{2, 1280, 1, 2});
  CHECK(net(at::randn({2, 1, 32, 40})).sizes() == at::IntArrayRef{2, 3});
}

TEST_CASE("its parts, one after the other, are its forward pass") {
  const at::NoGradGuard no_grad;
  auto net = thaw::models::efficientnet_lite0({.classes = 5});
  net->eval();
  const auto check = [&](std::size_t parts, const std::string& last) {
    const at::Tensor images = at::randn({2, 3, 64, 64});
    thaw::ForwardPart::Tensors x{images};
    for (const thaw::ForwardPart& part : thaw::forward_parts(net)) x = part.forward(x);
    CHECK(x[0].equal(net(images)));
    CHECK(thaw::forward_parts(net).size() == parts);
    CHECK(thaw::forward_parts(net).back().name == last);
    std::size_t parameters = 0;
    for (const thaw::ForwardPart& part : thaw::forward_parts(net))
      for (const auto& module : part.modules) parameters += module->parameters().size();
    CHECK(parameters == net->parameters().size());
  };
  check(1 + 16 + 1 + 1, "_fc");
  thaw::models::replace_head(net, 3);
  net->eval();
  check(1 + 16 + 1 + 9, "head.8");
}

TEST_CASE("images that it cannot take are an error that says which it can") {
  auto net = efficientnet_lite0();
  for (const at::Tensor& wrong : {at::randn({1, 3, 31, 64}), at::randn({1, 1, 64, 64}), at::randn({3, 64, 64})})
    CHECK_THROWS_AS(net(wrong), thaw::DataError);
  CHECK_THROWS_WITH(net(at::randn({1, 1, 64, 64})),
                    ContainsSubstring("[1, 1, 64, 64]") && ContainsSubstring("[N, 3, H, W]"));
}

TEST_CASE("gradients reach every parameter in training, whose statistics move") {
  at::manual_seed(1);
  auto net = efficientnet_lite0({.classes = 4});
  const at::Tensor before = net->bn1->running_mean.clone();
  net(at::randn({4, 3, 64, 64})).pow(2).sum().backward();
  for (const auto& parameter : net->named_parameters()) {
    CAPTURE(parameter.key());
    REQUIRE(parameter.value().grad().defined());
    CHECK(parameter.value().grad().abs().max().item<double>() > 0);
  }
  CHECK_FALSE(at::equal(before, net->bn1->running_mean));
}

TEST_CASE("initial values are TensorFlow's") {
  at::manual_seed(2);
  const auto net = efficientnet_lite0({.classes = 100});
  const auto deviation = [](const at::Tensor& t) { return t.std().item<double>(); };
  const auto about = [](double a, double b) { return std::abs(a / b - 1) < 0.05; };
  const auto& block = *net->blocks->children()[11]->as<MBConv>();             // 5 x 5, 112 to 192 channels
  CHECK(about(deviation(net->conv_head->weight), std::sqrt(2. / 1280)));      // 1 x 1 to 1280
  CHECK(about(deviation(block.depthwise_conv->weight), std::sqrt(2. / 25)));  // one filter per channel
  CHECK(about(deviation(block.project_conv->weight), std::sqrt(2. / 192)));
  CHECK(about(deviation(net->fc->weight), 0.1 / std::sqrt(3)));  // uniform in [-.1, .1]
  CHECK(net->fc->weight.abs().max().item<double>() <= 0.1);
  CHECK(net->fc->bias.abs().max().item<double>() == 0);
  CHECK(at::equal(net->bn1->weight, at::full({1280}, 1.f)));
}

TEST_CASE("options reach every layer") {
  auto net = efficientnet_lite0({.dropout = 0.4, .drop_connect = 0.16, .bn_momentum = 0.3, .bn_eps = 1e-4});
  CHECK(net->options.dropout == 0.4);
  CHECK(thaw::test::count_norms(*net, 1e-4, 0.3) == 49);
  CHECK(net->blocks->children()[0]->as<MBConv>()->options.drop == 0);
  CHECK(std::abs(net->blocks->children()[12]->as<MBConv>()->options.drop - 0.12) < 1e-12);  // 12 of 16 blocks
}

TEST_CASE("options out of range are errors, each with its fix") {
  const std::vector<std::pair<EfficientNetLiteOptions, const char*>> wrong{{{.classes = 0}, "classes is 0"},
                                                                           {{.in_channels = 0}, "in_channels is 0"},
                                                                           {{.dropout = 1}, "dropout is 1"},
                                                                           {{.drop_connect = -1}, "drop_connect is -1"},
                                                                           {{.bn_momentum = 99}, "momentum is 99"},
                                                                           {{.bn_eps = 0}, "bn_eps 0"},
                                                                           {{.width = 0}, "width is 0"},
                                                                           {{.depth = -1}, "depth -1"},
                                                                           {{.image_size = 31}, "image_size is 31"}};
  for (const auto& [options, problem] : wrong) {
    CHECK_THROWS_AS(EfficientNetLite(options), thaw::ConfigError);
    CHECK_THROWS_WITH(EfficientNetLite(options), ContainsSubstring(problem) && ContainsSubstring("fix:"));
  }
}

TEST_CASE("the cut table follows the depth of the variant") {
  using Names = std::vector<std::string>;
  CHECK(efficientnet_lite_cuts() == Names{"_blocks.5", "head"});
  CHECK(efficientnet_lite_cuts({.depth = 1.1}) == Names{"_blocks.7", "head"});
  CHECK(efficientnet_lite_cuts({.depth = 1.8}) == Names{"_blocks.9", "head"});
}

TEST_CASE("preprocessing maps bytes to (x - 127) / 128") {
  for (const double byte : {0., 127., 255.})
    CHECK(std::abs((byte / 255 - efficientnet_lite_mean[0]) / efficientnet_lite_std[0] - (byte - 127) / 128) < 1e-12);
}
