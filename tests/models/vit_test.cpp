// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/models/vit.hpp>

#include <thaw/groups/freeze.hpp>
#include <thaw/groups/layer_groups.hpp>
#include <thaw/models/heads.hpp>
#include <thaw/train/frozen_split.hpp>

#include "models/parts.hpp"
#include "models/transformers.hpp"

#include <ATen/Context.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace thaw::models;
using Catch::Matchers::ContainsSubstring;
using thaw::test::count;
using thaw::test::small_vit;

static_assert(PooledBackbone<VisionTransformerImpl>);

namespace {

constexpr VitNames both[] = {VitNames::torchvision, VitNames::timm};

}  // namespace

TEST_CASE("with weights by formula, a vision transformer's logits and gradients are torchvision's and timm's") {
  const auto fixture = thaw::test::json_fixture("models/vit.json");
  REQUIRE(fixture["small"].size() == 3);
  for (const auto& expected : fixture["small"])
    thaw::test::check_parity(VisionTransformer(small_vit(thaw::test::vit_names(expected["name"]))), expected,
                             expected["images"]);
}

TEST_CASE("from the same seed, a vision transformer's initial values are torchvision's and timm's") {
  const auto fixture = thaw::test::json_fixture("models/vit.json");
  for (const auto& expected : fixture["small"]) {
    CAPTURE(expected["name"].dump());
    at::manual_seed(1);
    const VisionTransformer net(small_vit(thaw::test::vit_names(expected["name"])));
    CHECK(thaw::test::digest_error(thaw::test::all_parameters(*net), expected["initial"]) < 1e-6);
  }
}

TEST_CASE("the published sizes have their originals' names, shapes and logits, these on images of another size") {
  const auto fixture = thaw::test::json_fixture("models/vit.json");
  REQUIRE(fixture["full"].size() == 3);
  for (const auto& expected : fixture["full"]) {
    CAPTURE(expected["name"].dump());
    VisionTransformer net = thaw::test::full_vit(expected["name"]);
    thaw::test::check_state(*net, expected);
    thaw::test::check_limits(thaw::test::measure(net, expected, thaw::test::on_images(expected["images"])));
  }
}

TEST_CASE("weights fitted to another image size give what resampling in every forward pass gives") {
  const at::NoGradGuard no_grad;
  for (const VitNames names : both) {
    const VitOptions options = small_vit(names);
    VitOptions larger = options;
    larger.image_size = 48;
    VisionTransformer net(options), other(larger);
    thaw::test::fill(*net, thaw::test::chirp);
    thaw::StateDict state;
    for (const auto& [name, tensor] : thaw::test::state_dict(*net)) state.insert(name, tensor);
    CHECK_THROWS_WITH(thaw::load_weights(other, state), ContainsSubstring(net->positions_name()));
    thaw::load_weights(other, fit_positions(*other, state));
    const at::Tensor images = at::randn({2, 3, 48, 48});
    net->eval();
    other->eval();
    CHECK(at::allclose(net(images), other(images), 1e-4, 1e-5));
    CHECK(fit_positions(*net, state).at(net->positions_name()).is_same(net->positions));
  }
}

TEST_CASE("the names of torchvision's published file load by renaming") {
  VisionTransformer net(small_vit(VitNames::torchvision)), other(small_vit(VitNames::torchvision));
  thaw::StateDict file;
  for (auto [name, tensor] : thaw::test::state_dict(*net)) {
    for (const auto& [now, before] : {std::pair{".mlp.0.", ".mlp.linear_1."}, {".mlp.3.", ".mlp.linear_2."}})
      if (const auto at = name.find(now); at != std::string::npos) name.replace(at, std::string(now).size(), before);
    file.insert(name, tensor);
  }
  CHECK(file.contains("encoder.layers.encoder_layer_1.mlp.linear_2.bias"));
  CHECK_THROWS_AS(thaw::load_weights(other, file), thaw::FileError);
  thaw::load_weights(other, file, {.rename = {{"linear_1", "0"}, {"linear_2", "3"}}});
  CHECK(at::equal(thaw::test::all_parameters(*net), thaw::test::all_parameters(*other)));
}

TEST_CASE("a vision transformer takes images of whole patches, with any number of channels and classes") {
  const at::NoGradGuard no_grad;
  for (const VitNames names : both) {
    VitOptions options = small_vit(names);
    options.in_channels = 1;
    options.classes = 3;
    VisionTransformer net(options);
    const at::Tensor images = at::randn({2, 1, 8, 40}), copy = images.clone();
    CHECK(net->features(images).sizes() == at::IntArrayRef{2, 48});
    CHECK(net(images).sizes() == at::IntArrayRef{2, 3});
    CHECK(at::equal(images, copy));
    CHECK(net->head_features() == 48);
  }
}

TEST_CASE("images that a vision transformer cannot take are an error that says which it can") {
  VisionTransformer net(small_vit(VitNames::timm));
  for (const at::Tensor& wrong :
       {at::empty({1, 1, 32, 32}), at::empty({3, 32, 32}), at::empty({1, 3, 32, 36}), at::empty({1, 3, 0, 32})})
    CHECK_THROWS_AS(net(wrong), thaw::DataError);
  CHECK_THROWS_WITH(net(at::empty({1, 3, 32, 36})),
                    ContainsSubstring("[1, 3, 32, 36]") && ContainsSubstring("multiples of 8"));
}

TEST_CASE("a vision transformer's options out of range are errors, each with its fix") {
  const std::vector<std::pair<VitOptions, const char*>> wrong{{{.classes = 0}, "classes is 0"},
                                                              {{.in_channels = 0}, "in_channels is 0"},
                                                              {{.image_size = 225}, "image_size is 225"},
                                                              {{.image_size = 0}, "image_size is 0"},
                                                              {{.patch_size = 0}, "patch_size 0"},
                                                              {{.width = 100}, "width is 100, heads 12"},
                                                              {{.depth = 0}, "depth is 0"},
                                                              {{.heads = 0}, "heads 0"},
                                                              {{.mlp_width = 0}, "mlp_width 0"},
                                                              {{.dropout = 1}, "dropout is 1"},
                                                              {{.attention_dropout = -1}, "attention_dropout is -1"},
                                                              {{.head_dropout = 2}, "head_dropout is 2"},
                                                              {{.drop_path = 1}, "drop_path is 1"}};
  for (const auto& [options, problem] : wrong) {
    CHECK_THROWS_AS(VisionTransformer(options), thaw::ConfigError);
    CHECK_THROWS_WITH(VisionTransformer(options), ContainsSubstring(problem) && ContainsSubstring("fix:"));
  }
}

TEST_CASE("each kind of dropout draws in training, and in training alone") {
  const at::NoGradGuard no_grad;
  const at::Tensor images = at::randn({4, 3, 32, 32});
  for (const VitNames names : both)
    for (double VitOptions::* const dropout :
         {&VitOptions::dropout, &VitOptions::attention_dropout, &VitOptions::head_dropout, &VitOptions::drop_path}) {
      VitOptions options = small_vit(names);
      options.*dropout = 0.5;
      VisionTransformer net(options);
      thaw::test::fill(*net, thaw::test::chirp);
      CHECK_FALSE(at::equal(net(images), net(images)));
      net->eval();
      CHECK(at::equal(net(images), net(images)));
    }
}

TEST_CASE("dropout is where torchvision and timm have it") {
  VitOptions options = small_vit(VitNames::torchvision);
  options.dropout = 0.5;
  options.drop_path = 0.25;
  VisionTransformer net(options);
  const auto zeros = [](const at::Tensor& x) { return x.eq(0).to(at::kDouble).mean().item<double>(); };
  const auto parts = net->forward_parts();
  at::manual_seed(1);
  CHECK(std::abs(zeros(parts[0].forward({at::randn({8, 3, 32, 32})})[0]) - 0.5) < 0.05);

  CHECK(net->blocks->children()[0]->as<VitBlock>()->options.drop_path == 0);
  auto& block = *net->blocks->children()[1]->as<VitBlock>();
  CHECK(block.options.drop_path == 0.25);
  const at::NoGradGuard no_grad;
  block.mlp->fc2->weight.zero_();
  block.mlp->fc2->bias.fill_(1);
  block.attention->proj->weight.zero_();
  block.attention->proj->bias.zero_();
  const at::Tensor x = at::randn({400, 2, 48}), added = block.forward(x) - x;  // 0, or 1 / (.5 * .75)
  CHECK(std::abs(zeros(added.round()) - (1 - 0.5 * 0.75)) < 0.02);
  CHECK(std::abs(added.mean().item<double>() - 1) < 0.1);

  block.mlp->fc1->weight.zero_();
  block.mlp->fc1->bias.fill_(1);
  block.mlp->fc2->bias.zero_();
  block.mlp->fc2->weight.slice(1, 0, 48).fill_diagonal_(1);  // what half of the hidden ones are
  CHECK(std::abs(zeros(block.mlp->forward(x)) - 0.5) < 0.02);
}

TEST_CASE("a vision transformer's parts, one after the other, are its forward pass") {
  for (const VitNames names : both) {
    VisionTransformer net(small_vit(names));
    const bool timm = names == VitNames::timm;
    thaw::test::check_parts(net, {at::randn({2, 3, 24, 32})}, 1 + 2 + 1 + 1, timm ? "head" : "heads");
    CHECK(net->forward_parts()[2].name == (timm ? "blocks.1" : "encoder.layers.encoder_layer_1"));
    replace_head(net, 3);
    thaw::test::check_parts(net, {at::randn({2, 3, 24, 32})}, 1 + 2 + 1 + 7, "head.6");
  }
}

TEST_CASE("cuts make three groups, or one per block, with the model's head and with a new one") {
  for (const VitNames names : both) {
    VisionTransformer net(small_vit(names));
    const std::int64_t all = count(*net), block = count(*net->blocks->children()[0]);
    const std::int64_t embeddings = count(*net->patches) + net->class_token.numel() + net->positions.numel();
    for (const bool replaced : {false, true}) {
      if (replaced) replace_head(net, linear_head(net->head_features(), 10, 0, /*pool=*/false));
      const auto groups = thaw::LayerGroups::cut_before(net, vit_cuts(*net));
      REQUIRE(groups.size() == 3);
      CHECK(groups[0].numel() == embeddings + block);
      CHECK(groups[1].numel() == block + 2 * 48);
      CHECK(groups[0].numel() + groups[1].numel() + groups[2].numel() == all);

      const auto layers = thaw::LayerGroups::cut_before(net, vit_layer_cuts(*net));
      REQUIRE(layers.size() == 4);
      CHECK(layers[0].numel() == embeddings);
      CHECK(layers[1].numel() == block);
      CHECK(layers[2].numel() == block + 2 * 48);
      CHECK(layers[3].numel() == 48 * 10 + 10);
    }
  }
}

TEST_CASE("a new head on a vision transformer is without pooling, and comes last") {
  for (const VitNames names : both) {
    VisionTransformer net(small_vit(names));
    replace_head(net, 7);
    CHECK(net->named_children().keys().back() == "head");
    CHECK_FALSE(net->named_children().contains("heads"));
    CHECK(thaw::test::state_dict(*net->head).front().first == "0.weight");
    CHECK(net->head->children()[0]->as<torch::nn::BatchNorm1d>());
    CHECK(net(at::randn({2, 3, 32, 32})).sizes() == at::IntArrayRef{2, 7});
    replace_head(net, linear_head(48, 4, 0.2, /*pool=*/false));
    CHECK(net(at::randn({2, 3, 32, 32})).sizes() == at::IntArrayRef{2, 4});
    CHECK_THROWS_WITH(replace_head(net, linear_head(48, 4)), ContainsSubstring("without pooling"));
    CHECK_THROWS_WITH(replace_head(net, linear_head(47, 4, 0, /*pool=*/false)),
                      ContainsSubstring("does not fit the model's 48 features"));
  }
}

TEST_CASE("the frozen part of a vision transformer ends where training begins") {
  VisionTransformer net(small_vit(VitNames::torchvision));
  auto groups = thaw::LayerGroups::cut_before(net, vit_layer_cuts(*net));
  const at::Tensor images = at::randn({4, 3, 32, 32});
  for (int frozen = 0; frozen <= 3; ++frozen) {
    thaw::apply(thaw::FreezeTo{frozen}, groups);
    groups.train();
    const auto split = thaw::split_frozen(net, groups, images);
    CHECK(split.prefix.size() == std::vector<std::size_t>{0, 1, 2, 4}[static_cast<std::size_t>(frozen)]);
    CHECK(at::equal(split.output(split.features(images)), net(images)));
    CHECK(net->class_token.requires_grad() == (frozen == 0));
  }
}

TEST_CASE("class token, positions, biases and norms of a vision transformer do not decay; its matrices do") {
  for (const VitNames names : both) {
    const VisionTransformer net(small_vit(names));
    const auto groups = thaw::LayerGroups::cut_before(net, vit_cuts(*net));
    for (const auto& group : groups)
      for (const auto& parameter : group.parameters) {
        CAPTURE(parameter.name);
        const bool is_matrix = parameter.name.ends_with("weight") && parameter.tensor.dim() > 1;
        CHECK(parameter.decays == is_matrix);
      }
  }
}
