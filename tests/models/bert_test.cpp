// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/models/bert.hpp>

#include <thaw/data/in_memory.hpp>
#include <thaw/groups/layer_groups.hpp>
#include <thaw/models/heads.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/loss.hpp>

#include "models/parts.hpp"
#include "models/transformers.hpp"

#include <ATen/Context.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <functional>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace thaw::models;
using Catch::Matchers::ContainsSubstring;
using thaw::ForwardPart;
using thaw::test::count;
using thaw::test::small_bert;
using thaw::test::texts;

static_assert(PooledBackbone<BertForSequenceClassificationImpl>);

namespace {

using Bert = BertForSequenceClassification;

}  // namespace

TEST_CASE("with weights by formula, BERT's logits and gradients are Hugging Face's") {
  const auto fixture = thaw::test::json_fixture("models/bert.json");
  const auto x = texts(fixture);
  REQUIRE(fixture["small"].size() == 3);
  for (const auto& expected : fixture["small"]) {
    const auto n = expected["inputs"].get<std::size_t>();
    CAPTURE(n);
    Bert net(small_bert());
    thaw::test::check_parity(net, expected, thaw::test::on_texts(x, n));
    CHECK(net->embeddings->words->weight.grad()[0].abs().max().item<double>() == 0);
  }
}

TEST_CASE("from the same seed, BERT's initial values are Hugging Face's") {
  const auto fixture = thaw::test::json_fixture("models/bert.json");
  at::manual_seed(1);
  const Bert net(small_bert());
  CHECK(thaw::test::digest_error(thaw::test::all_parameters(*net), fixture["small"][0]["initial"]) < 1e-6);
}

TEST_CASE("BERT-base and MiniLM-L6 have Hugging Face's names and shapes") {
  const auto fixture = thaw::test::json_fixture("models/bert.json");
  REQUIRE(fixture["full"].size() == 2);
  for (const auto& expected : fixture["full"]) {
    CAPTURE(expected["name"].dump());
    const Bert net = expected["name"] == "bert_base" ? bert_base() : minilm_l6();
    thaw::test::check_state(*net, expected);
  }
}

TEST_CASE("the real all-MiniLM-L6-v2 loads by rename and drop, and says what it says in Python") {
  const auto path = thaw::test::test_data("all-MiniLM-L6-v2/model.safetensors");
  const auto fixture = thaw::test::json_fixture("models/minilm.json");
  const auto x = texts(fixture);
  const at::NoGradGuard no_grad;
  Bert net = minilm_l6({.classes = 4});
  thaw::LoadOptions how = thaw::test::minilm_load();
  CHECK(thaw::load_weights(net, path, how).loaded.size() == 103);
  net->eval();
  CHECK(thaw::test::features_error(net->features(x[0], x[1], x[2]), fixture["pooler"]) < 1e-4);

  Bert mean = minilm_l6({.pooling = BertPooling::mean});
  how.drop.push_back("bert.pooler.*");
  thaw::load_weights(mean, path, how);
  mean->eval();
  const at::Tensor features = mean->features(x[0], x[1]);
  CHECK(thaw::test::features_error(features, fixture["mean"]) < 1e-4);
  const at::Tensor unit = features / features.norm(2, 1, true);
  CHECK(thaw::test::distance((unit.slice(0, 1) * unit[0]).sum(1), fixture["cosine"]) < 1e-4);
}

TEST_CASE("a file with an encoder's names loads under \"bert.\"") {
  Bert net(small_bert()), other(small_bert());
  thaw::StateDict encoder;
  for (const auto& [name, tensor] : thaw::test::state_dict(*net))
    if (name.starts_with("bert.")) encoder.insert(name.substr(5), tensor);
  encoder.insert("embeddings.position_ids", at::randint(9, {1, 16}));
  thaw::load_weights(other, encoder, thaw::test::minilm_load());
  CHECK(at::equal(other->pooler->weight, net->pooler->weight));
  CHECK(at::equal(other->embeddings->words->weight, net->embeddings->words->weight));
}

TEST_CASE("what the mask hides, and what comes after it, does not matter to BERT") {
  const auto x = texts(thaw::test::json_fixture("models/bert.json"));
  const at::NoGradGuard no_grad;
  for (const BertPooling pooling : {BertPooling::first_token, BertPooling::mean}) {
    BertOptions options = small_bert();
    options.pooling = pooling;
    Bert net(options);
    thaw::test::fill(*net, thaw::test::chirp);
    net->eval();
    const at::Tensor y = net(x[0], x[1], x[2]);
    at::Tensor other = x[0].clone();
    other[1].slice(0, 6).fill_(33);
    CHECK(at::allclose(net(other, x[1], x[2]), y, 1e-5, 1e-6));
    const auto cut = [](const at::Tensor& text) { return text.slice(0, 1, 2).slice(1, 0, 6); };
    CHECK(at::allclose(net(cut(x[0]), cut(x[1]), cut(x[2])), y.slice(0, 1, 2), 1e-4, 1e-5));
    CHECK_FALSE(at::allclose(net(x[0], at::ones_like(x[1]), x[2])[1], y[1], 1e-2, 1e-2));

    CHECK(at::equal(net(x[0]), net(x[0], at::ones_like(x[0]), at::zeros_like(x[0]))));
    CHECK(at::equal(net(x[0], x[1].to(at::kFloat)), net(x[0], x[1].to(at::kBool))));
    CHECK(at::equal(net(x[0].to(at::kInt), x[1], x[2].to(at::kInt)), y));
  }
}

TEST_CASE("with mean pooling BERT has no pooler, and its features are the mean of what is seen") {
  const auto x = texts(thaw::test::json_fixture("models/bert.json"));
  const at::NoGradGuard no_grad;
  BertOptions options = small_bert();
  options.pooling = BertPooling::mean;
  Bert net(options);
  for (const auto& [name, tensor] : thaw::test::state_dict(*net)) CHECK_FALSE(name.starts_with("bert.pooler"));
  const at::Tensor hidden = net->hidden_states(x[0], x[1], x[2]), features = net->features(x[0], x[1], x[2]);
  CHECK(hidden.sizes() == at::IntArrayRef{3, 9, 24});
  CHECK(at::allclose(features[0], hidden[0].mean(0), 1e-5, 1e-6));
  CHECK(at::allclose(features[1], hidden[1].slice(0, 0, 6).mean(0), 1e-5, 1e-6));
  CHECK(at::allclose(features[2], hidden[2].slice(0, 5).mean(0), 1e-5, 1e-6));
  CHECK(at::allclose(net->features(x[0]), net->hidden_states(x[0]).mean(1), 1e-5, 1e-6));
}

TEST_CASE("texts that BERT cannot take are an error that says which it can") {
  Bert net(small_bert());
  const at::Tensor ids = at::randint(40, {2, 6}), ones = at::ones_like(ids);
  const auto message = [&](const ForwardPart::Tensors& x) -> std::string {
    try {
      thaw::test::on_texts(x, x.size())(net, at::kFloat);
    } catch (const thaw::DataError& error) {
      return error.what();
    }
    return "no error";
  };
  CHECK_THAT(message({ids.to(at::kFloat)}), ContainsSubstring("input_ids are of type Float"));
  CHECK_THAT(message({ids[0]}), ContainsSubstring("[6]") && ContainsSubstring("[N, tokens]"));
  CHECK_THAT(message({at::randint(40, {2, 17})}), ContainsSubstring("[2, 17]") && ContainsSubstring("1 to 16 tokens"));
  CHECK_THAT(message({ids.slice(1, 0, 0)}), ContainsSubstring("[2, 0]"));
  CHECK_THAT(message({ids * 0 + 40}), ContainsSubstring("input_ids hold 40 to 40") && ContainsSubstring("0 to 39"));
  CHECK_THAT(message({ids * 0 - 1}), ContainsSubstring("input_ids hold -1 to -1"));
  CHECK_THAT(message({ids, ones.slice(1, 0, 5)}), ContainsSubstring("attention_mask are [2, 5], input_ids [2, 6]"));
  CHECK_THAT(message({ids, ones, ones[0]}), ContainsSubstring("token_type_ids are [6]"));
  CHECK_THAT(message({ids, ones, ones * 2}), ContainsSubstring("token_type_ids hold 2 to 2"));
  CHECK(message({ids, ones, ones}) == "no error");
}

TEST_CASE("BERT's options out of range are errors, each with its fix") {
  const std::vector<std::pair<BertOptions, const char*>> wrong{{{.classes = 0}, "classes is 0"},
                                                               {{.vocabulary = 0}, "vocabulary is 0"},
                                                               {{.width = 100}, "width is 100, heads 12"},
                                                               {{.depth = 0}, "depth is 0"},
                                                               {{.heads = 0}, "heads 0"},
                                                               {{.mlp_width = 0}, "mlp_width 0"},
                                                               {{.max_tokens = 0}, "max_tokens 0"},
                                                               {{.token_types = 0}, "token_types 0"},
                                                               {{.padding = 30522}, "padding is 30522"},
                                                               {{.dropout = 1}, "dropout is 1"},
                                                               {{.attention_dropout = -1}, "attention_dropout is -1"},
                                                               {{.head_dropout = 1}, "head_dropout is 1"},
                                                               {{.norm_eps = 0}, "norm_eps is 0"}};
  for (const auto& [options, problem] : wrong) {
    CHECK_THROWS_AS(Bert(options), thaw::ConfigError);
    CHECK_THROWS_WITH(Bert(options), ContainsSubstring(problem) && ContainsSubstring("fix:"));
  }
}

TEST_CASE("each kind of BERT's dropout draws in training, and in training alone") {
  const at::NoGradGuard no_grad;
  const at::Tensor ids = at::randint(1, 40, {4, 9});
  std::vector<BertOptions> kinds(3, small_bert());
  kinds[0].dropout = 0.5;
  kinds[0].head_dropout = 0;
  kinds[1].attention_dropout = 0.5;
  kinds[2].head_dropout = 0.5;
  for (const BertOptions& options : kinds) {
    Bert net(options);
    thaw::test::fill(*net, thaw::test::chirp);
    CHECK_FALSE(at::equal(net(ids), net(ids)));
    CHECK(at::equal(net->features(ids), net->features(ids)) == (options.head_dropout == 0.5));
    net->eval();
    CHECK(at::equal(net(ids), net(ids)));
  }
  CHECK(BertOptions{}.dropout == 0.1);
  CHECK(BertOptions{}.attention_dropout == 0.1);
  BertOptions as_dropout = small_bert();
  as_dropout.dropout = 0.5;
  Bert net(as_dropout);
  auto classify = net->forward_parts().back();
  const at::Tensor features = net->features(ids);
  CHECK_FALSE(at::equal(classify.forward({features})[0], classify.forward({features})[0]));
}

TEST_CASE("dropout is where Hugging Face has it: in the embeddings, and on what each half of a layer adds") {
  const at::NoGradGuard no_grad;
  BertOptions options = small_bert();
  options.dropout = 0.5;
  Bert net(options);
  const at::Tensor ids = at::randint(1, 40, {50, 9});
  CHECK(std::abs(net->embeddings->forward(ids).eq(0).to(at::kDouble).mean().item<double>() - 0.5) < 0.05);
  auto& layer = *(*net->layers)[0]->as<BertLayer>();
  for (BertOutput& half : {std::ref(layer.attended), std::ref(layer.output)}) {
    half->dense->weight.zero_();
    half->dense->bias.fill_(1);
    const at::Tensor x = at::zeros({400, half->dense->options.in_features()});
    const at::Tensor y = half->forward(x, at::zeros({400, 24}));
    CHECK(std::abs(y.gt(0).to(at::kDouble).mean().item<double>() - 0.5) < 0.03);  // 0 or 2 before the norm
  }
}

TEST_CASE("a text of which nothing is seen gives numbers, and leaves the others alone") {
  const at::NoGradGuard no_grad;
  for (const BertPooling pooling : {BertPooling::first_token, BertPooling::mean}) {
    BertOptions options = small_bert();
    options.pooling = pooling;
    Bert net(options);
    const at::Tensor ids = at::randint(1, 40, {2, 9}), mask = at::ones_like(ids);
    const at::Tensor y = net(ids, mask);
    mask[1].zero_();
    CHECK(net(ids, mask).isfinite().all().item<bool>());
    CHECK(at::allclose(net(ids, mask)[0], y[0], 1e-5, 1e-6));
  }
}

TEST_CASE("BERT's parts, one after the other, are its forward pass, with a mask and without") {
  const auto x = texts(thaw::test::json_fixture("models/bert.json"));
  for (const BertPooling pooling : {BertPooling::first_token, BertPooling::mean}) {
    BertOptions options = small_bert();
    options.pooling = pooling;
    Bert net(options);
    thaw::test::check_parts(net, x, 1 + 2 + 1 + 1, "classifier");
    thaw::test::check_parts(net, {x[0]}, 1 + 2 + 1 + 1, "classifier");
    replace_head(net, 3);
    CHECK(net->named_children().keys() == std::vector<std::string>{"bert", "head"});
    thaw::test::check_parts(net, x, 1 + 2 + 1 + 7, "head.6");
  }
}

TEST_CASE("cuts make three groups of BERT, or one per layer, with its head and with a new one") {
  Bert net(small_bert());
  const std::int64_t all = count(*net), layer = count(*(*net->layers)[0]), embeddings = count(*net->embeddings);
  for (const bool replaced : {false, true}) {
    if (replaced) replace_head(net, linear_head(net->head_features(), 5, 0, /*pool=*/false));
    const auto groups = thaw::LayerGroups::cut_before(net, bert_cuts(*net));
    REQUIRE(groups.size() == 3);
    CHECK(groups[0].numel() == embeddings + layer);
    CHECK(groups[1].numel() == layer + 24 * 24 + 24);
    CHECK(groups[0].numel() + groups[1].numel() + groups[2].numel() == all);
    const auto layers = thaw::LayerGroups::cut_before(net, bert_layer_cuts(*net));
    REQUIRE(layers.size() == 4);
    CHECK(layers[0].numel() == embeddings);
    CHECK(layers[1].numel() == layer);
    CHECK(layers[3].numel() == 24 * 5 + 5);
  }
}

TEST_CASE("a Learner fine-tunes BERT on ids, masks and types; caching what its frozen layers give changes nothing") {
  const at::Tensor ids = at::randint(1, 40, {24, 9}), mask = at::ones_like(ids), types = at::zeros_like(ids);
  mask.slice(0, 0, 12).slice(1, 5).zero_();
  types.slice(1, 3).fill_(1);
  const thaw::InMemoryOptions data{
      .input = std::vector{ids, mask, types}, .target = at::randint(5, {24}), .batch_size = 8};
  const auto trained = [&](int frozen, thaw::Cache cache) {
    at::manual_seed(3);
    Bert net(small_bert());
    const at::Tensor before = thaw::test::all_parameters(*net).clone();
    thaw::Learner learner(net, thaw::LayerGroups::cut_before(net, bert_cuts(*net)), thaw::cross_entropy,
                          {.train = thaw::InMemory(data), .valid = thaw::InMemory(data)});
    learner.fit({.epochs = 2, .freeze = thaw::FreezeTo{frozen}, .lr = 1e-2, .cache = cache});
    const at::Tensor after = thaw::test::all_parameters(*net).detach();
    CHECK_FALSE(at::equal(before, after));
    return after.clone();
  };
  for (const int frozen : {1, 2})
    CHECK(at::allclose(trained(frozen, {}), trained(frozen, thaw::Cache::memory), 1e-5, 1e-6));
}
