// SPDX-License-Identifier: BSD-3-Clause
#include <ATen/Context.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/zeros.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/rnn.h>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <numeric>
#include <string>
#include <thaw/core/random_state.hpp>
#include <thaw/models/bert.hpp>
#include <thaw/models/make.hpp>
#include <thaw/models/resnet.hpp>
#include <thaw/report/summary.hpp>
#include <utility>
#include <vector>

#include "support/nets.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using Sizes = std::vector<std::int64_t>;

namespace {

const thaw::LayerSummary& layer(const thaw::ModelSummary& summary, const std::string& name) {
  return *std::ranges::find(summary.layers, name, &thaw::LayerSummary::name);
}
const thaw::LayerSummary& first_of_kind(const thaw::ModelSummary& summary, const std::string& kind) {
  return *std::ranges::find(summary.layers, kind, &thaw::LayerSummary::kind);
}

/// One tensor through anything that its lambda does.
template <class Run>
struct RunsImpl : torch::nn::Module {
  explicit RunsImpl(Run run_) : run(std::move(run_)) {}
  at::Tensor forward(const at::Tensor& x) { return run(*this, x); }
  Run run;
};
template <class Run>
std::shared_ptr<RunsImpl<Run>> runs(Run run) {
  return std::make_shared<RunsImpl<Run>>(std::move(run));
}

}  // namespace

TEST_CASE("Parameters and multiply-adds of published networks are those that torchvision states") {
  // GFLOPS of torchvision's table of weights, which are multiply-adds; parameters of the same
  struct Known {
    const char* name;
    std::int64_t parameters;
    double giga;
  };
  for (const auto& [name, parameters, giga] :
       {Known{"resnet18", 11'689'512, 1.814}, Known{"resnet34", 21'797'672, 3.664},
        Known{"resnet50", 25'557'032, 4.089}, Known{"resnext50_32x4d", 25'028'904, 4.23},
        Known{"mobilenet_v2", 3'504'872, 0.301}, Known{"mobilenet_v3_large", 5'483'032, 0.217},
        Known{"efficientnet_b0", 5'288'548, 0.386}, Known{"convnext_tiny", 28'589'128, 4.456},
        Known{"vit_b_16", 86'567'656, 17.564}}) {
    CAPTURE(name);
    const auto summary = thaw::summary(thaw::models::make(name), at::zeros({1, 3, 224, 224}));
    CHECK(summary.total.parameters == parameters);
    CHECK(std::abs(static_cast<double>(summary.total.multiply_adds) / 1e9 - giga) < 0.00051);
  }
}

TEST_CASE("ResNet-18 layer by layer: shapes, parameters, multiply-adds, bytes; and a batch of two has twice as many") {
  auto model = thaw::models::resnet18();
  const auto one = thaw::summary(model, at::zeros({1, 3, 224, 224}));
  CHECK(one.total.multiply_adds == 1'814'073'344);  // fvcore 0.1.5
  CHECK(one.input == Sizes{1, 3, 224, 224});
  CHECK(one.total.output == Sizes{1, 1000});
  CHECK(one.groups.empty());

  CHECK(one.layers[0].name == "conv1");
  CHECK(one.layers[0].kind == "Conv2d");
  CHECK(one.layers[0].output == Sizes{1, 64, 112, 112});
  CHECK(one.layers[0].parameters == 9408);
  CHECK(one.layers[0].multiply_adds == 118'013'952);
  CHECK(one.layers[0].bytes == 4 * 64 * 112 * 112);
  CHECK(one.layers[1].kind == "BatchNorm2d");
  CHECK(one.layers[1].multiply_adds == 0);
  CHECK(one.layers[1].bytes == 4 * 64 * 112 * 112);  // and relu_ is in place
  CHECK(one.layers[2].kind == "max_pool2d");
  CHECK(one.layers[2].output == Sizes{1, 64, 56, 56});
  CHECK(layer(one, "layer2.0.downsample.0").output == Sizes{1, 128, 28, 28});
  CHECK(layer(one, "fc").multiply_adds == 512'000);
  CHECK(layer(one, "fc").parameters == 513'000);

  const auto two = thaw::summary(model, at::zeros({2, 3, 224, 224}));
  CHECK(two.total.multiply_adds == 2 * one.total.multiply_adds);
  CHECK(two.total.parameters == one.total.parameters);
  CHECK(two.total.bytes == 2 * one.total.bytes);
}

TEST_CASE("Groups have the sums of their layers, and all of them those of the model") {
  auto model = thaw::models::resnet18();
  const auto groups = thaw::LayerGroups::cut_before(model, {"layer3", "fc"});
  const auto summary = thaw::summary(model, groups, at::zeros({1, 3, 64, 64}));
  REQUIRE(summary.groups.size() == 3);
  thaw::GroupSummary sum;
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(summary.groups[i].name == groups[i].name);
    CHECK(summary.groups[i].parameters == groups[i].numel());
    sum.multiply_adds += summary.groups[i].multiply_adds;
    sum.bytes += summary.groups[i].bytes;
  }
  CHECK(sum.multiply_adds == summary.total.multiply_adds);
  CHECK(sum.bytes == summary.total.bytes);
  CHECK(summary.groups[0].output == Sizes{1, 128, 8, 8});
  CHECK(summary.groups[2].multiply_adds == 512'000);
}

TEST_CASE("Nothing is left changed: modes, statistics, gradients, random generators; also where the model throws") {
  at::manual_seed(5);
  auto model = thaw::models::resnet18({.classes = 3});
  model->train();
  model->layer1->eval();
  model->forward(at::rand({2, 3, 32, 32})).sum().backward();
  const auto before = thaw::test::state_of(*model);
  const at::Tensor grad = model->fc->weight.grad().clone();
  const thaw::RandomState random;
  const auto summary = thaw::summary(model, at::zeros({1, 3, 32, 32}));
  CHECK_THROWS(thaw::summary(model, at::zeros({1, 5, 32, 32})));
  CHECK(thaw::test::changed(before, *model).empty());
  CHECK(model->fc->weight.grad().equal(grad));
  CHECK(model->is_training());
  CHECK_FALSE(model->layer1->is_training());
  CHECK(model->layer2->is_training());
  CHECK_FALSE(random.moved());

  const auto counts = runs([](torch::nn::Module& self, const at::Tensor& x) {  // in evaluation mode too
    self.buffers()[0].add_(1);
    return x + at::rand({1});
  });
  counts->register_buffer("calls", at::zeros({1}));
  (void)thaw::summary(counts, at::zeros({2}));
  CHECK(counts->buffers()[0].item<float>() == 0);
  CHECK_FALSE(random.moved());
}

TEST_CASE("Any module: matrix products of parameters by hand, transposed convolutions, recurrent layers, attention") {
  const auto by_hand = runs([](torch::nn::Module& self, const at::Tensor& x) {
    return x.matmul(self.parameters()[0].t()).relu().softmax(-1);
  });
  by_hand->register_parameter("weight", at::rand({7, 5}));
  auto summary = thaw::summary(by_hand, at::zeros({2, 3, 5}));
  CHECK(layer(summary, "(model)").multiply_adds == 2 * 3 * 5 * 7);
  CHECK(layer(summary, "(model)").output == Sizes{2, 3, 7});
  CHECK(layer(summary, "(model)").bytes == 3 * 4 * 2 * 3 * 7);  // the product, relu, softmax
  CHECK(summary.layers.size() == 1);

  summary = thaw::summary(torch::nn::ConvTranspose2d(torch::nn::ConvTranspose2dOptions(4, 6, 2).stride(2)),
                          at::zeros({1, 4, 8, 8}));
  CHECK(summary.total.multiply_adds == 4 * 8 * 8 * 6 * 2 * 2);
  CHECK(summary.total.output == Sizes{1, 6, 16, 16});
  summary = thaw::summary(torch::nn::Conv2d(torch::nn::Conv2dOptions(4, 8, 3).groups(4)), at::zeros({1, 4, 8, 8}));
  CHECK(summary.total.multiply_adds == 8 * 6 * 6 * 9);

  auto lstm = torch::nn::LSTM(torch::nn::LSTMOptions(5, 6).num_layers(2));
  const auto recurrent =
      runs([lstm](torch::nn::Module&, const at::Tensor& x) mutable { return std::get<0>(lstm->forward(x)); });
  recurrent->register_module("lstm", lstm);
  summary = thaw::summary(recurrent, at::zeros({7, 3, 5}));
  CHECK(summary.total.multiply_adds == 7 * 3 * (4 * 6 * (5 + 6) + 4 * 6 * (6 + 6)));
  CHECK(summary.total.output == Sizes{7, 3, 6});

  auto bert = thaw::models::BertForSequenceClassification(
      thaw::models::BertOptions{.classes = 2, .vocabulary = 50, .width = 8, .depth = 1, .heads = 2, .mlp_width = 16});
  const at::Tensor ids = at::zeros({1, 6}, at::kLong);
  summary = thaw::summary(bert, ids, at::ones({1, 6}, at::kLong));
  CHECK(first_of_kind(summary, "scaled_dot_product_attention").multiply_adds == 2 * 6 * 6 * 8);
  CHECK(summary.total.parameters == [&] {
    std::int64_t sum = 0;
    for (const at::Tensor& each : bert->parameters()) sum += each.numel();
    return sum;
  }());
}

TEST_CASE("A module that runs twice counts twice and has its parameters once; one that does not run is named") {
  torch::nn::Linear twice(4, 4), idle(4, 9);
  const auto model = runs([twice](torch::nn::Module&, const at::Tensor& x) mutable { return twice(twice(x)); });
  model->register_module("twice", twice);
  model->register_module("same", twice);
  model->register_module("idle", idle);
  const auto summary = thaw::summary(model, at::zeros({3, 4}));
  REQUIRE(summary.layers.size() == 2);
  CHECK(layer(summary, "twice").multiply_adds == 2 * 3 * 4 * 4);
  CHECK(layer(summary, "twice").parameters == 20);
  CHECK(layer(summary, "idle").output.empty());
  CHECK(summary.total.parameters == 20 + 45);
  CHECK(summary.total.output == Sizes{3, 4});
}

TEST_CASE("As text: a row for each layer and group, with units") {
  auto model = thaw::models::resnet18();
  const std::string text = fmt::format(
      "{}", thaw::summary(model, thaw::LayerGroups::cut_before(model, {"layer3", "fc"}), at::zeros({1, 3, 224, 224})));
  CHECK_THAT(text, StartsWith("layer                  kind                     output  parameters  mult-adds (M)  "
                              "activations (MB)\n"));
  CHECK_THAT(text,
             ContainsSubstring("\nconv1                  Conv2d       1 x 64 x 112 x 112       9,408         118.01"
                               "              3.21\n"));
  CHECK_THAT(text, ContainsSubstring("\n                       max_pool2d     1 x 64 x 56 x 56           0 "));
  CHECK_THAT(text, ContainsSubstring("\nfc               1 x 1000     513,000           0.51              0.00\n"
                                     "all              1 x 1000  11,689,512        1814.07 "));
  CHECK_THAT(text, ContainsSubstring("for an input of 1 x 3 x 224 x 224\n"));
}
