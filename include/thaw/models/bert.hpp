// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/dropout.h>
#include <c10/util/StringUtil.h>
#include <fmt/format.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/forward_part.hpp>
#include <thaw/models/attention.hpp>
#include <thaw/models/bert_layer.hpp>
#include <thaw/models/detail/checks.hpp>

namespace thaw::models {

/// What of a text's tokens the classifier sees.
enum class BertPooling {
  first_token,  ///< the first one ([CLS]) through a linear layer and tanh, `bert.pooler`: BERT's own
  mean,         ///< the mean of those that the mask lets see, and no `bert.pooler`: sentence-transformers'
};

/// The defaults are BERT-base's, and those of Hugging Face's BertConfig.
struct BertOptions {
  std::int64_t classes = 2;
  std::int64_t vocabulary = 30522;       ///< tokens; of bert-base-cased 28996
  std::int64_t width = 768;              ///< of a token, through all layers
  std::int64_t depth = 12;               ///< layers
  std::int64_t heads = 12;               ///< of attention in each layer
  std::int64_t mlp_width = 3072;         ///< inside each layer
  std::int64_t max_tokens = 512;         ///< of a text: positions that are learned
  std::int64_t token_types = 2;          ///< 0 for a first sentence, 1 for a second one
  std::int64_t padding = 0;              ///< the token whose embedding starts at 0 and never trains
  double dropout = 0.1;                  ///< of the embeddings, and of what each attention and MLP adds
  double attention_dropout = 0.1;        ///< of the attention weights
  std::optional<double> head_dropout{};  ///< before the classifier; as dropout
  double norm_eps = 1e-12;
  BertPooling pooling = BertPooling::first_token;
};

namespace detail {

inline void check(const BertOptions& options) {
  const char* const model = "BertForSequenceClassification";
  require(model, options.classes >= 1, fmt::format("classes is {}", options.classes),
          "give the number of classes, 1 or more");
  require(model, options.vocabulary >= 1 && options.max_tokens >= 1 && options.token_types >= 1,
          fmt::format("vocabulary is {}, max_tokens {}, token_types {}", options.vocabulary, options.max_tokens,
                      options.token_types),
          "give 1 or more; BERT-base has 30522, 512 and 2");
  require(model, options.padding >= 0 && options.padding < options.vocabulary,
          fmt::format("padding is {}, vocabulary {}", options.padding, options.vocabulary),
          "give a token of the vocabulary; BERT's [PAD] is 0");
  check_transformer(model, options.width, options.depth, options.heads, options.mlp_width);
  check_probability(model, "dropout", options.dropout);
  check_probability(model, "attention_dropout", options.attention_dropout);
  check_probability(model, "head_dropout", options.head_dropout.value_or(0));
  require(model, options.norm_eps > 0, fmt::format("norm_eps is {}", options.norm_eps), "give a positive number");
}

}  // namespace detail

/// BERT (arXiv:1810.04805) with a classifier, as Hugging Face has it; MiniLM (arXiv:2002.10957) is one by its options.
///
/// `forward` takes `input_ids`, `attention_mask` (other than 0: a token to be seen; none: all are) and `token_type_ids`
/// (none: 0), each [N, tokens] of whole numbers, as a tokenizer makes them, and gives logits [N, classes]; a
/// thaw::Learner feeds it batches of one, two or all three in this order. Every text needs a token to be seen. Names
/// and shapes in the state dict, initial values and dropout are Hugging Face's; modules are registered in the order in
/// which they run. Throws ConfigError for options out of range.
/// Source: transformers 4.57, models/bert/modeling_bert.py.
///
/// Files of an encoder alone lack a classifier, and some the "bert." before each name:
///
///     auto model = thaw::models::minilm_l6({.classes = 4});  // sentence-transformers/all-MiniLM-L6-v2
///     thaw::load_weights(model, "model.safetensors",
///                        {.drop = {"classifier.*", "*.position_ids"}, .rename = {{"^", "bert."}}});
struct BertForSequenceClassificationImpl : torch::nn::Module {
  static constexpr bool pooled_features = true;

  explicit BertForSequenceClassificationImpl(const BertOptions& options_ = {}) : options(options_) {
    detail::check(options);
    const BertLayerOptions layer{.width = options.width,
                                 .heads = options.heads,
                                 .mlp_width = options.mlp_width,
                                 .dropout = options.dropout,
                                 .attention_dropout = options.attention_dropout,
                                 .norm_eps = options.norm_eps};
    const auto bert = detail::submodule(*this, "bert");
    embeddings = bert->register_module("embeddings", BertEmbeddings(layer, options.vocabulary, options.max_tokens,
                                                                    options.token_types, options.padding));
    const auto encoder = detail::submodule(*bert, "encoder");
    layers = encoder->register_module("layer", torch::nn::ModuleList());
    for (std::int64_t i = 0; i < options.depth; ++i) layers->push_back(BertLayer(layer));
    if (options.pooling == BertPooling::first_token)
      pooler =
          detail::submodule(*bert, "pooler")->register_module("dense", torch::nn::Linear(options.width, options.width));
    detail::initialise_as_hugging_face(*bert);
    classifier = register_module("classifier", torch::nn::Linear(options.width, options.classes));
    detail::initialise_as_hugging_face(*classifier);
  }

  /// What the encoder makes of each token: [N, tokens] -> [N, tokens, width].
  /// Throws DataError for tensors of other shapes or types and, on the CPU, for numbers out of range.
  at::Tensor hidden_states(const at::Tensor& input_ids, const at::Tensor& attention_mask = {},
                           const at::Tensor& token_type_ids = {}) {
    ForwardPart::Tensors x = embed({input_ids, attention_mask, token_type_ids});
    for (const auto& layer : *layers) x = run(*layer, x);
    return x[0];
  }

  /// What the head sees: [N, tokens] -> [N, width]. Throws what hidden_states throws.
  at::Tensor features(const at::Tensor& input_ids, const at::Tensor& attention_mask = {},
                      const at::Tensor& token_type_ids = {}) {
    return pool({hidden_states(input_ids, attention_mask, token_type_ids), seen(attention_mask)});
  }

  /// Logits [N, classes]; with a head of your own, whatever that gives.
  at::Tensor forward(const at::Tensor& input_ids, const at::Tensor& attention_mask = {},
                     const at::Tensor& token_type_ids = {}) {
    return classify(features(input_ids, attention_mask, token_type_ids));
  }

  /// Embeddings, each layer, pooling, each layer of the head, so that frozen ones can be run apart from the rest. What
  /// passes between layers is {hidden states} or {hidden states, mask}. BERT has dropout in its embeddings, and what
  /// draws random numbers cannot be cached: to train on cached features, give `.dropout = 0`.
  std::vector<ForwardPart> forward_parts() {
    using Tensors = ForwardPart::Tensors;
    std::vector<ForwardPart> parts{
        {"bert.embeddings", {embeddings.ptr()}, [this](const Tensors& x) { return embed(x); }}};
    for (const auto& layer : *layers)
      parts.push_back({fmt::format("bert.encoder.layer.{}", parts.size() - 1), {layer}, [layer](const Tensors& x) {
                         return run(*layer, x);
                       }});
    std::vector<std::shared_ptr<torch::nn::Module>> of_pooling;
    if (pooler) of_pooling.push_back(pooler.ptr());
    parts.emplace_back(pooler ? "bert.pooler" : "mean", of_pooling,
                       [this](const Tensors& x) { return Tensors{pool(x)}; });
    if (head)
      for (ForwardPart& layer : thaw::forward_parts(*head, "head")) parts.push_back(std::move(layer));
    else
      parts.push_back({"classifier", {classifier.ptr()}, [this](const at::Tensor& x) { return classify(x); }});
    return parts;
  }

  /// How many numbers `features` has: the width.
  [[nodiscard]] std::int64_t head_features() const { return options.width; }

  /// Takes out the classifier or an earlier head; `new_head` becomes the last child, "head". See replace_head.
  void set_head(torch::nn::Sequential new_head) {
    unregister_module(head_name());
    classifier = nullptr;
    head = register_module("head", std::move(new_head));
  }

  /// Under which name what comes last is registered.
  [[nodiscard]] std::string head_name() const { return head ? "head" : "classifier"; }

  BertOptions options;
  BertEmbeddings embeddings{nullptr};
  torch::nn::ModuleList layers{nullptr};  ///< each a BertLayer
  torch::nn::Linear pooler{nullptr}, classifier{nullptr};
  torch::nn::Sequential head{nullptr};

 private:
  /// {ids, mask, types}, of which the last two may be missing -> {hidden states}, with a mask also {.., mask}.
  ForwardPart::Tensors embed(const ForwardPart::Tensors& x) {
    const auto given = [&](std::size_t i) { return i < x.size() ? x[i] : at::Tensor(); };
    check_input("input_ids", x.at(0), x[0].sizes(), options.vocabulary);
    if (x[0].dim() != 2 || x[0].size(1) < 1 || x[0].size(1) > options.max_tokens)
      throw DataError("BertForSequenceClassification", "input_ids are " + c10::str(x[0].sizes()),
                      fmt::format("give [N, tokens] with 1 to {} tokens: cut longer texts", options.max_tokens));
    if (given(1).defined()) check_input("attention_mask", x[1], x[0].sizes(), std::nullopt);
    if (given(2).defined()) check_input("token_type_ids", x[2], x[0].sizes(), options.token_types);
    const at::Tensor hidden = embeddings(x[0], given(2));
    return given(1).defined() ? ForwardPart::Tensors{hidden, seen(x[1])} : ForwardPart::Tensors{hidden};
  }

  /// From a tokenizer's mask to what attention takes: bool [N, 1, 1, tokens].
  static at::Tensor seen(const at::Tensor& mask) {
    return mask.defined() ? mask.to(at::kBool).unsqueeze(1).unsqueeze(1) : mask;
  }

  static ForwardPart::Tensors run(torch::nn::Module& layer, ForwardPart::Tensors x) {
    x[0] = layer.as<BertLayer>()->forward(x[0], x.size() > 1 ? x[1] : at::Tensor());
    return x;
  }

  at::Tensor pool(const ForwardPart::Tensors& x) {
    if (pooler) return pooler(x[0].select(1, 0)).tanh();
    if (x.size() < 2 || !x[1].defined()) return x[0].mean(1);
    const at::Tensor weight = x[1].select(1, 0).transpose(1, 2).to(x[0].scalar_type());
    return (x[0] * weight).sum(1) / weight.sum(1).clamp_min(1e-9);
  }

  at::Tensor classify(const at::Tensor& x) {
    return head ? head->forward(x)
                : classifier(at::dropout(x, options.head_dropout.value_or(options.dropout), is_training()));
  }

  /// On a GPU, numbers are not looked at: that would wait for them.
  static void check_input(const char* name, const at::Tensor& x, at::IntArrayRef like,
                          std::optional<std::int64_t> below) {
    const auto wrong = [&](const std::string& problem, const std::string& fix) {
      return DataError("BertForSequenceClassification", fmt::format("{} {}", name, problem), fix);
    };
    if (x.sizes() != like)
      throw wrong("are " + c10::str(x.sizes()) + ", input_ids " + c10::str(like), "give them the shape of input_ids");
    if (!below) return;
    if (x.scalar_type() != at::kLong && x.scalar_type() != at::kInt)
      throw wrong(std::string("are of type ") + c10::toString(x.scalar_type()), "give whole numbers, kLong or kInt");
    if (!x.is_cpu() || x.numel() == 0) return;
    const auto [low, high] = x.aminmax();
    if (low.item<std::int64_t>() < 0 || high.item<std::int64_t>() >= *below)
      throw wrong(fmt::format("hold {} to {}", low.item<std::int64_t>(), high.item<std::int64_t>()),
                  fmt::format("the model knows 0 to {}: take the tokenizer of its weights", *below - 1));
  }
};
TORCH_MODULE(BertForSequenceClassification);

namespace detail {

inline BertForSequenceClassification bert(BertOptions options, std::int64_t width, std::int64_t depth) {
  options.width = width;
  options.depth = depth;
  options.heads = 12;
  options.mlp_width = 4 * width;
  return BertForSequenceClassification(options);
}

}  // namespace detail

/// BERT-base and the six layers of MiniLM-L6-H384, whose best-known weights are sentence-transformers'
/// all-MiniLM-L6-v2, with random weights: 109.5 and 22.7 million parameters for 2 classes. Each sets `width`, `depth`,
/// `heads` and `mlp_width` of its options.
///
/// Google's file of bert-base-uncased has old names and other heads; it loads with
/// `{.drop = {"cls.*", "classifier.*"}, .rename = {{"gamma$", "weight"}, {"beta$", "bias"}}}`.
/// Example: `auto model = thaw::models::bert_base({.classes = 3});`
[[nodiscard]] inline BertForSequenceClassification bert_base(const BertOptions& options = {}) {
  return detail::bert(options, 768, 12);
}
[[nodiscard]] inline BertForSequenceClassification minilm_l6(const BertOptions& options = {}) {
  return detail::bert(options, 384, 6);
}

/// Where to cut BERT into three layer groups: embeddings and the first half of the layers; the other half and the
/// pooler; the head, the model's or the one that has replaced it.
/// Example: `thaw::LayerGroups::cut_before(model, thaw::models::bert_cuts(*model))`.
[[nodiscard]] inline std::vector<std::string> bert_cuts(const BertForSequenceClassificationImpl& model) {
  return {fmt::format("bert.encoder.layer.{}", model.options.depth / 2), model.head_name()};
}

/// Where to cut it into embeddings, each layer (the last with the pooler after it), and head: depth + 2 groups, for
/// rates that decay layer by layer. Example: `.lr = thaw::DiscriminativeLR::layer_decay(5e-5, 0.9)`.
[[nodiscard]] inline std::vector<std::string> bert_layer_cuts(const BertForSequenceClassificationImpl& model) {
  std::vector<std::string> cuts;
  cuts.reserve(static_cast<std::size_t>(model.options.depth) + 1);
  for (std::int64_t i = 0; i < model.options.depth; ++i) cuts.push_back(fmt::format("bert.encoder.layer.{}", i));
  cuts.push_back(model.head_name());
  return cuts;
}

}  // namespace thaw::models
