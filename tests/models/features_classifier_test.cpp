// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/models/features_classifier.hpp>

#include "models/backbone.hpp"

#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <ATen/ops/randn.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace thaw::models;
using torch::nn::Conv2d, torch::nn::Conv2dOptions;

namespace {

struct TinyOptions {
  std::int64_t classes = 3, in_channels = 3;
};

/// What a user would write.
struct TinyImpl : FeaturesClassifier<TinyOptions> {
  explicit TinyImpl(const TinyOptions& options_ = {}) : FeaturesClassifier("Tiny", options_) {
    body->push_back(Conv2d(Conv2dOptions(options.in_channels, 4, 3)));
    body->push_back(Layers(torch::nn::ReLU(), Conv2d(Conv2dOptions(4, 5, 3))));
    channels = 5;
    least = 5;
    classifier->push_back(torch::nn::Linear(channels, options.classes));
  }
};
TORCH_MODULE(Tiny);

}  // namespace

static_assert(Backbone<TinyImpl>);

TEST_CASE("Layers can be a layer: its children run in their order") {
  const torch::nn::Conv2d conv(Conv2dOptions(3, 2, 1));
  torch::nn::Sequential outer(Layers(conv, torch::nn::ReLU()));
  const at::Tensor x = at::randn({1, 3, 4, 4});
  CHECK(at::equal(outer->forward(x), conv.ptr()->as<Conv2d>()->forward(x).relu()));
  CHECK(outer->named_parameters().keys() == std::vector<std::string>{"0.0.weight", "0.0.bias"});
}

TEST_CASE("a model of features and a classifier has parts, a head that can be replaced, and clear errors") {
  Tiny net;
  CHECK(net(at::randn({2, 3, 6, 6})).sizes() == at::IntArrayRef{2, 3});
  CHECK(net->named_children().keys() == std::vector<std::string>{"features", "classifier"});
  thaw::test::check_parts(net, {at::randn({2, 3, 6, 6})}, 3 + 1 + 1, "classifier.0");
  replace_head(net, linear_head(5, 7));
  CHECK(net->named_children().keys() == std::vector<std::string>{"features", "head"});
  CHECK(net(at::randn({2, 3, 6, 6})).sizes() == at::IntArrayRef{2, 7});
  thaw::test::check_parts(net, {at::randn({2, 3, 6, 6})}, 3 + 4, "head.3");
  replace_head(net, linear_head(5, 2));
  CHECK(net(at::randn({2, 3, 6, 6})).sizes() == at::IntArrayRef{2, 2});

  using Catch::Matchers::ContainsSubstring;
  CHECK_THROWS_WITH(net(at::randn({2, 3, 6, 4})), ContainsSubstring("Tiny::features: the images are [2, 3, 6, 4]") &&
                                                      ContainsSubstring("[N, 3, H, W] of 5 pixels or more"));
  CHECK_THROWS_AS(Tiny(TinyOptions{.classes = 0}), thaw::ConfigError);
}
