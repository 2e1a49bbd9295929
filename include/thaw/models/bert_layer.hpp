// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/gelu.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <memory>

#include <thaw/models/attention.hpp>

namespace thaw::models {

struct BertLayerOptions {
  std::int64_t width = 768, heads = 12, mlp_width = 3072;
  double dropout = 0.1, attention_dropout = 0.1;
  double norm_eps = 1e-12;
};

namespace detail {

/// A module that is there for its name, to hold others.
inline std::shared_ptr<torch::nn::Module> submodule(torch::nn::Module& parent, const char* name) {
  return parent.register_module(name, std::make_shared<torch::nn::Module>(name));
}

inline torch::nn::LayerNorm layer_norm(const BertLayerOptions& options) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({options.width}).eps(options.norm_eps));
}

/// Weights of linear layers and embeddings normal with deviation .02, biases and the padding's embedding 0.
inline void initialise_as_hugging_face(torch::nn::Module& net) {
  const at::NoGradGuard no_grad;
  net.apply([](torch::nn::Module& layer) {
    if (auto* linear = layer.as<torch::nn::Linear>()) {
      linear->weight.normal_(0, 0.02);
      linear->bias.zero_();
    } else if (auto* embedding = layer.as<torch::nn::Embedding>()) {
      embedding->weight.normal_(0, 0.02);
      if (const auto padding = embedding->options.padding_idx()) embedding->weight[*padding].zero_();
    }
  });
}

}  // namespace detail

/// What a token is, where it stands, and which sentence it is of, added and normed: numbers [N, tokens] each ->
/// [N, tokens, width]. `types` may be undefined: all are 0.
struct BertEmbeddingsImpl : torch::nn::Module {
  BertEmbeddingsImpl(const BertLayerOptions& options_, std::int64_t vocabulary, std::int64_t max_tokens,
                     std::int64_t token_types, std::int64_t padding)
      : options(options_) {
    using torch::nn::Embedding;
    const auto words_options = torch::nn::EmbeddingOptions(vocabulary, options.width).padding_idx(padding);
    words = register_module("word_embeddings", Embedding(words_options));
    positions = register_module("position_embeddings", Embedding(max_tokens, options.width));
    types = register_module("token_type_embeddings", Embedding(token_types, options.width));
    norm = register_module("LayerNorm", detail::layer_norm(options));
  }

  at::Tensor forward(const at::Tensor& ids, const at::Tensor& type_ids = {}) {
    const at::Tensor type = type_ids.defined() ? types(type_ids) : types->weight[0];
    const at::Tensor x = words(ids) + type + positions->weight.slice(0, 0, ids.size(1));
    return at::dropout(norm(x), options.dropout, is_training());
  }

  BertLayerOptions options;
  torch::nn::Embedding words{nullptr}, positions{nullptr}, types{nullptr};
  torch::nn::LayerNorm norm{nullptr};
};
TORCH_MODULE(BertEmbeddings);

/// The end of each half of a layer: norm(dropout(dense(x)) + residual).
struct BertOutputImpl : torch::nn::Module {
  explicit BertOutputImpl(const BertLayerOptions& options_ = {}, std::int64_t inputs = 768) : options(options_) {
    dense = register_module("dense", torch::nn::Linear(inputs, options.width));
    norm = register_module("LayerNorm", detail::layer_norm(options));
  }

  at::Tensor forward(const at::Tensor& x, const at::Tensor& residual) {
    return norm(at::dropout(dense(x), options.dropout, is_training()) + residual);
  }

  BertLayerOptions options;
  torch::nn::Linear dense{nullptr};
  torch::nn::LayerNorm norm{nullptr};
};
TORCH_MODULE(BertOutput);

/// Post-norm transformer layer (arXiv:1706.03762, arXiv:1810.04805): y = norm(x + attention(x)), then norm(y + MLP(y)),
/// with GELU. [N, tokens, width] -> [N, tokens, width]; `mask` as in `attend`.
struct BertLayerImpl : torch::nn::Module {
  explicit BertLayerImpl(const BertLayerOptions& options_ = {}) : options(options_) {
    const std::int64_t width = options.width;
    const auto attention = detail::submodule(*this, "attention");
    const auto self = detail::submodule(*attention, "self");
    query = self->register_module("query", torch::nn::Linear(width, width));
    key = self->register_module("key", torch::nn::Linear(width, width));
    value = self->register_module("value", torch::nn::Linear(width, width));
    attended = attention->register_module("output", BertOutput(options, width));
    intermediate =
        detail::submodule(*this, "intermediate")->register_module("dense", torch::nn::Linear(width, options.mlp_width));
    output = register_module("output", BertOutput(options, options.mlp_width));
  }

  at::Tensor forward(const at::Tensor& x, const at::Tensor& mask = {}) {
    const double dropout = is_training() ? options.attention_dropout : 0;
    const at::Tensor y = attended(attend(query(x), key(x), value(x), options.heads, dropout, mask), x);
    return output(at::gelu(intermediate(y)), y);
  }

  BertLayerOptions options;
  torch::nn::Linear query{nullptr}, key{nullptr}, value{nullptr}, intermediate{nullptr};
  BertOutput attended{nullptr}, output{nullptr};
};
TORCH_MODULE(BertLayer);

}  // namespace thaw::models
