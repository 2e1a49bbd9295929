#include <thaw/models/resnet.hpp>

#include <thaw/groups/layer_groups.hpp>
#include <thaw/models/heads.hpp>

#include "models/formula.hpp"
#include "support/data.hpp"

#include <ATen/Context.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <algorithm>
#include <stdexcept>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace thaw::models;
using Catch::Matchers::ContainsSubstring;
using thaw::test::distance;
using thaw::test::wave;

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

/// FNV-1a, 64 bits, of lines like "fc.weight [1000,512]".
std::string hash_of_state(const torch::nn::Module& module) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const auto& [name, tensor] : thaw::test::state_dict(module))
    for (const char c : fmt::format("{} [{}]\n", name, fmt::join(tensor.sizes(), ",")))
      hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return fmt::format("{:016x}", hash);
}

/// A tensor's product with a chirp and its norm against the original's, relative to the norm.
double digest_error(const at::Tensor& tensor, const nlohmann::json& expected) {
  const at::Tensor x = tensor.detach().to(at::kDouble).flatten();
  const double product = x.dot(thaw::test::repeat(thaw::test::chirp(0.5), x.numel())).item<double>();
  const double norm = x.norm().item<double>();
  return std::max(std::abs(product - expected[0].get<double>()), std::abs(norm - expected[1].get<double>())) / norm;
}

/// The first 8 logits of each image, relative to the largest.
double logits_error(const at::Tensor& logits, const nlohmann::json& expected) {
  const at::Tensor first = logits.slice(1, 0, 8);
  return distance(first, expected) / first.abs().max().item<double>();
}

std::int64_t count(const torch::nn::Module& module) {
  std::int64_t parameters = 0;
  for (const at::Tensor& parameter : module.parameters()) parameters += parameter.numel();
  return parameters;
}

}  // namespace

TEST_CASE("with weights by formula, logits, gradients and statistics are torchvision's") {
  const auto fixture = thaw::test::json_fixture("models/resnet.json");
  REQUIRE(fixture["cases"].size() == 6);
  for (const auto& expected : fixture["cases"]) {
    const auto name = expected["name"].get<std::string>();
    CAPTURE(name);
    ResNet net = make(name);
    CHECK(thaw::test::state_dict(*net).size() == expected["tensors"]);
    CHECK(hash_of_state(*net) == expected["state"].get<std::string>());
    thaw::test::fill(*net, thaw::test::chirp, 3);
    const at::Tensor x = wave({2, 3, 64, 64}, 0.37);
    net->eval();
    {
      const at::NoGradGuard no_grad;
      CHECK(logits_error(net(x.to(at::kFloat)), expected["eval"]) < 1e-4);
    }

    thaw::test::to_double(*net);
    thaw::test::fill(*net, thaw::test::chirp, 3);
    net->train();
    const at::Tensor y = net(x);
    (y * wave(y.sizes(), 0.7)).sum().backward();
    CHECK(logits_error(y, expected["train"]) < 1e-6);
    std::vector<at::Tensor> running;
    for (const auto& buffer : net->named_buffers())
      if (buffer.value().is_floating_point()) running.push_back(buffer.value().flatten());
    CHECK(digest_error(at::cat(running), expected["running"]) < 1e-6);
    CHECK(net->parameters().size() == expected["gradients"].size());
    for (const auto& parameter : net->named_parameters()) {
      CAPTURE(parameter.key());
      CHECK(digest_error(parameter.value().grad(), expected["gradients"][parameter.key()]) < 1e-5);
    }
  }
}

TEST_CASE("from the same seed, initial values are torchvision's") {
  const auto fixture = thaw::test::json_fixture("models/resnet.json");
  for (const auto& expected : fixture["cases"]) {
    at::manual_seed(1);
    const ResNet net = make(expected["name"]);
    const auto parameters = net->named_parameters();
    REQUIRE(expected["initial"].size() == 3);
    for (const auto& [name, digest] : expected["initial"].items()) {
      CAPTURE(expected["name"].dump(), name);
      CHECK(digest_error(parameters[name], digest) < 1e-4);
    }
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
  const at::NoGradGuard no_grad;
  auto net = thaw::models::resnet18({.classes = 5});
  net->eval();
  const at::Tensor images = at::randn({2, 3, 64, 64});
  const auto check = [&](std::size_t parts, const std::string& last) {
    const auto all = thaw::forward_parts(net);
    CHECK(all.size() == parts);
    CHECK(all.back().name == last);
    thaw::ForwardPart::Tensors x{images};
    std::size_t parameters = 0;
    for (const thaw::ForwardPart& part : all) {
      x = part.forward(x);
      for (const auto& module : part.modules) parameters += module->parameters().size();
    }
    CHECK(x[0].equal(net(images)));
    CHECK(parameters == net->parameters().size());
  };
  check(1 + 8 + 2, "fc");
  thaw::models::replace_head(net, 3);
  net->eval();
  check(1 + 8 + 9, "head.8");
}
