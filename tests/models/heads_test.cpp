// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/models/heads.hpp>

#include <thaw/models/efficientnet_lite.hpp>

#include "models/formula.hpp"
#include "support/data.hpp"

#include <ATen/Context.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace thaw::models;
using Catch::Matchers::ContainsSubstring;
using thaw::test::distance;
using thaw::test::wave;
using torch::nn::Sequential;

namespace {

/// A backbone of one convolution, quick to build.
struct OneConvImpl : torch::nn::Module {
  OneConvImpl() {
    conv = register_module("conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 6, 1)));
    fc = register_module("fc", torch::nn::Linear(6, 4));
  }
  at::Tensor features(const at::Tensor& x) { return conv(x); }
  at::Tensor forward(const at::Tensor& x) { return head->forward(features(x)); }
  std::int64_t head_features() const { return 6; }
  void set_head(const Sequential& new_head) {
    unregister_module(head ? "head" : "fc");
    head = register_module("head", new_head);
  }
  torch::nn::Conv2d conv{nullptr};
  torch::nn::Linear fc{nullptr};
  Sequential head{nullptr};
};
TORCH_MODULE(OneConv);

std::vector<std::string> layers(const torch::nn::Module& head) {
  std::vector<std::string> names;
  for (const auto& layer : head.children()) {
    const std::string name = layer->name();  // "torch::nn::LinearImpl"
    const auto begin = name.rfind(':') + 1;
    names.push_back(name.substr(begin, name.size() - begin - 4));
  }
  return names;
}

}  // namespace

static_assert(Backbone<EfficientNetLiteImpl> && Backbone<OneConvImpl>);
static_assert(!Backbone<torch::nn::LinearImpl> && !Backbone<int>);

namespace {
struct PooledImpl : OneConvImpl {
  static constexpr bool pooled_features = true;
  at::Tensor features(const at::Tensor& x) { return OneConvImpl::features(x).mean({2, 3}); }
  at::Tensor forward(const at::Tensor& x) { return head->forward(features(x)); }
};
struct SaysNoImpl : OneConvImpl {
  static constexpr bool pooled_features = false;
};
}  // namespace

static_assert(PooledBackbone<PooledImpl> && !PooledBackbone<OneConvImpl> && !PooledBackbone<SaysNoImpl>);

TEST_CASE("concat pooling gives maxima, then means") {
  const at::Tensor x = wave({1, 2, 2, 2}, 0.37).to(at::kFloat);
  const at::Tensor pooled = AdaptiveConcatPool2d()(x);
  CHECK(pooled.sizes() == at::IntArrayRef{1, 4, 1, 1});
  CHECK(pooled[0][0].item<float>() == x[0][0].max().item<float>());
  CHECK(distance(pooled, thaw::test::json_fixture("models/head.json")["pooled"]) < 1e-6);
}

TEST_CASE("create_head has fastai's layers, names, shapes and numbers") {
  const auto fixture = thaw::test::json_fixture("models/head.json");
  REQUIRE(fixture["cases"].size() == 4);
  for (const auto& expected : fixture["cases"]) {
    auto head = create_head(expected["features"], expected["classes"],
                            {.hidden = expected["hidden"],
                             .dropout = expected["dropout"],
                             .concat_pool = expected["concat_pool"],
                             .bn_final = expected["bn_final"]});
    CHECK(layers(*head) == expected["layers"].get<std::vector<std::string>>());
    CHECK(thaw::test::names_and_shapes(*head) == expected["state"]);

    thaw::test::to_double(*head);
    thaw::test::fill(*head);
    at::Tensor x = wave({3, expected["features"].get<std::int64_t>(), 3, 2}, 0.37);
    x.requires_grad_();
    head->eval();
    CHECK(distance(head->forward(x), expected["eval"]) < 1e-6);

    head->train();
    for (const auto& layer : head->children())
      if (layer->as<torch::nn::Dropout>()) layer->eval();
    const at::Tensor y = head->forward(x);
    CHECK(distance(y, expected["train"]) < 1e-6);
    (y * wave(y.sizes(), 0.7)).sum().backward();
    CHECK(distance(x.grad(), expected["input_grad"]) < 1e-7 * x.grad().abs().max().item<double>());
    std::vector<at::Tensor> running;
    for (const auto& buffer : head->named_buffers())
      if (buffer.value().is_floating_point()) running.push_back(buffer.value());
    CHECK(distance(at::cat(running), expected["running"]) < 1e-6);
  }
}

TEST_CASE("create_head starts from fastai's initial values") {
  at::manual_seed(0);
  const auto head = create_head(1280, 10);
  const auto parameters = head->named_parameters();
  const auto fixture = thaw::test::json_fixture("models/head.json");
  REQUIRE(fixture["initial"].size() == 6);
  for (const auto& expected : fixture["initial"]) {
    const at::Tensor& tensor = parameters[expected[0].get<std::string>()];
    CAPTURE(expected.dump());
    const auto mean = expected[1].get<double>(), deviation = expected[2].get<double>();
    const double drawn = 5 * deviation / std::sqrt(static_cast<double>(tensor.numel()));
    CHECK(std::abs(tensor.mean().item<double>() - mean) <= 2 * drawn + 1e-9);
    CHECK(std::abs(tensor.std().item<double>() - deviation) <= drawn);
  }
}

TEST_CASE("create_head, layer by layer") {
  at::Tensor x = at::randn({2, 1280, 3, 4});
  const std::vector<std::vector<std::int64_t>> shapes{{2, 2560, 1, 1}, {2, 2560}, {2, 2560}, {2, 2560}, {2, 512},
                                                      {2, 512},        {2, 512},  {2, 512},  {2, 10}};
  auto head = create_head(1280, 10);
  REQUIRE(head->size() == shapes.size());
  std::size_t i = 0;
  for (auto& layer : *head) {
    x = layer.forward(x);
    CHECK(x.sizes().vec() == shapes[i++]);
  }
  CHECK(head->children()[3]->as<torch::nn::Dropout>()->options.p() == 0.25);
  CHECK(head->children()[7]->as<torch::nn::Dropout>()->options.p() == 0.5);
}

TEST_CASE("linear_head: mean, flatten, dropout, linear with bias") {
  const auto head = linear_head(6, 4, 0.1);
  CHECK(layers(*head) == std::vector<std::string>{"AdaptiveAvgPool2d", "Flatten", "Dropout", "Linear"});
  CHECK(thaw::test::names_and_shapes(*head) == nlohmann::json::parse(R"([["3.weight", [4, 6]], ["3.bias", [4]]])"));
  CHECK(head->children()[2]->as<torch::nn::Dropout>()->options.p() == 0.1);
}

TEST_CASE("without pooling, heads are for features [N, C]") {
  auto head = create_head(6, 4, {.hidden = {5}, .pool = false});
  CHECK(layers(*head) ==
        std::vector<std::string>{"BatchNorm1d", "Dropout", "Linear", "ReLU", "BatchNorm1d", "Dropout", "Linear"});
  CHECK(head->forward(at::randn({3, 6})).sizes() == at::IntArrayRef{3, 4});
  auto plain = linear_head(6, 4, 0.1, /*pool=*/false);
  CHECK(layers(*plain) == std::vector<std::string>{"Dropout", "Linear"});
  CHECK(plain->children()[0]->as<torch::nn::Dropout>()->options.p() == 0.1);
  CHECK(plain->forward(at::randn({3, 6})).sizes() == at::IntArrayRef{3, 4});
}

TEST_CASE("replace_head on pooled features makes a head without pooling, and tries every head") {
  const auto net = std::make_shared<PooledImpl>();
  replace_head(net, 2);
  CHECK(layers(*net->head).front() == "BatchNorm1d");
  CHECK(net->forward(at::randn({2, 3, 5, 5})).sizes() == at::IntArrayRef{2, 2});
  CHECK_THROWS_WITH(replace_head(net, Sequential(torch::nn::Linear(5, 2))),
                    ContainsSubstring("does not fit the model's 6 features") && ContainsSubstring("without pooling"));
  CHECK_THROWS_AS(replace_head(net, create_head(6, 2)), thaw::ConfigError);
  CHECK(net->forward(at::randn({2, 3, 5, 5})).sizes() == at::IntArrayRef{2, 2});
}

TEST_CASE("heads of impossible sizes are errors") {
  CHECK_THROWS_WITH(create_head(0, 4), ContainsSubstring("features is 0"));
  CHECK_THROWS_WITH(create_head(6, 0), ContainsSubstring("classes is 0") && ContainsSubstring("fix:"));
  CHECK_THROWS_WITH(create_head(6, 4, {.hidden = {5, 0}}), ContainsSubstring("a hidden width is 0"));
  CHECK_THROWS_WITH(create_head(6, 4, {.dropout = 1}), ContainsSubstring("dropout is 1"));
  CHECK_THROWS_AS(linear_head(6, -1), thaw::ConfigError);
}

TEST_CASE("replace_head on EfficientNet: _fc goes, head comes last, cuts find their places") {
  auto net = efficientnet_lite0();
  const at::Tensor stem = net->conv_stem->weight.clone();
  replace_head(net, 7);
  const auto children = net->named_children().keys();
  CHECK(children == std::vector<std::string>{"_conv_stem", "_bn0", "_blocks", "_conv_head", "_bn1", "head"});
  const auto state = thaw::test::state_dict(*net);
  CHECK(state.size() == 294 + 12);
  CHECK(state[294].first == "head.2.weight");
  CHECK(state.back().first == "head.8.weight");
  CHECK(at::equal(stem, net->conv_stem->weight));
  const auto names = net->named_modules().keys();
  for (const auto& cut : efficientnet_lite_cuts()) CHECK(std::ranges::find(names, cut) != names.end());

  CHECK(net(at::randn({2, 3, 40, 32})).sizes() == at::IntArrayRef{2, 7});
  replace_head(net, linear_head(net->head_features(), 5));  // and again
  CHECK(thaw::test::state_dict(*net).back().first == "head.3.bias");
  CHECK(net(at::randn({2, 3, 40, 32})).sizes() == at::IntArrayRef{2, 5});
}

TEST_CASE("replace_head takes a shared_ptr, and options") {
  const auto net = std::make_shared<OneConvImpl>();
  replace_head(net, 2, {.hidden = {}, .concat_pool = false});
  CHECK(layers(*net->head) ==
        std::vector<std::string>{"AdaptiveAvgPool2d", "Flatten", "BatchNorm1d", "Dropout", "Linear"});
  CHECK(net->forward(at::randn({2, 3, 5, 5})).sizes() == at::IntArrayRef{2, 2});
}

TEST_CASE("a new head takes the model's dtype and mode; counts stay whole numbers") {
  OneConv net;
  net->to(at::kDouble);
  net->eval();
  replace_head(net, 2);
  for (const auto& [name, tensor] : thaw::test::state_dict(*net->head))
    CHECK(tensor.scalar_type() == (name.ends_with("num_batches_tracked") ? at::kLong : at::kDouble));
  for (const auto& layer : net->head->modules()) CHECK_FALSE(layer->is_training());
  for (const auto& parameter : net->head->parameters()) CHECK(parameter.requires_grad());
  CHECK(net(at::randn({1, 3, 5, 5}, at::kDouble)).scalar_type() == at::kDouble);

  net->train();
  replace_head(net, 2);
  for (const auto& layer : net->head->modules()) CHECK(layer->is_training());
}

TEST_CASE("trying a head leaves its statistics and the random generator alone") {
  OneConv net;
  auto head = create_head(6, 4);
  const at::Tensor mean = head->children()[2]->as<torch::nn::BatchNorm1d>()->running_mean.clone();
  at::manual_seed(3);
  const at::Tensor drawn = at::randn({2});
  at::manual_seed(3);
  replace_head(net, head);
  CHECK(at::equal(drawn, at::randn({2})));
  CHECK(at::equal(mean, head->children()[2]->as<torch::nn::BatchNorm1d>()->running_mean));
}

TEST_CASE("a head that does not fit is an error, and the model stays as it was") {
  OneConv net;
  CHECK_THROWS_AS(replace_head(net, create_head(5, 4)), thaw::ConfigError);
  CHECK_THROWS_WITH(replace_head(net, create_head(5, 4)),
                    ContainsSubstring("does not fit the model's 6 features") && ContainsSubstring("head_features()"));
  CHECK_THROWS_WITH(replace_head(net, Sequential()), ContainsSubstring("no layers"));
  CHECK_THROWS_WITH(replace_head(net, Sequential(nullptr)), ContainsSubstring("no layers"));
  CHECK_THROWS_WITH(replace_head(net, 0), ContainsSubstring("classes is 0"));
  CHECK_THROWS_WITH(replace_head(OneConv(nullptr), 2), ContainsSubstring("model is null"));
  CHECK_THROWS_WITH(replace_head(std::shared_ptr<OneConvImpl>(), 2), ContainsSubstring("model is null"));
  CHECK(net->named_children().keys() == std::vector<std::string>{"conv", "fc"});
}

TEST_CASE("a head without pooling first is taken on trust") {
  OneConv net;
  replace_head(net, Sequential(torch::nn::Flatten(), torch::nn::Linear(6 * 4, 2)));
  CHECK(net(at::randn({3, 3, 2, 2})).sizes() == at::IntArrayRef{3, 2});
}
