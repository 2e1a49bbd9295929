// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/zeros.h>
#include <torch/nn/init.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

#include <thaw/models/attention.hpp>
#include <thaw/models/stochastic_depth.hpp>

namespace thaw::models {

/// Whose vision transformer: of one and the same network, the two have their own names in the state dict, initial
/// values, and ways to resample position embeddings.
enum class VitNames {
  torchvision,  ///< `class_token`, `encoder.layers.encoder_layer_0.self_attention.in_proj_weight`, ...
  timm,         ///< `cls_token`, `blocks.0.attn.qkv.weight`, ...
};

struct VitBlockOptions {
  std::int64_t width = 768, heads = 12, mlp_width = 3072;
  double dropout = 0, attention_dropout = 0, drop_path = 0;  ///< see VitOptions
  VitNames names = VitNames::torchvision;
};

/// Self-attention whose queries, keys and values come from one matrix: [N, tokens, width] -> [N, tokens, width].
struct SelfAttentionImpl : torch::nn::Module {
  explicit SelfAttentionImpl(const VitBlockOptions& options_ = {}) : options(options_) {
    const std::int64_t width = options.width;
    if (options.names == VitNames::timm) {
      qkv = register_module("qkv", torch::nn::Linear(width, 3 * width));
      proj = register_module("proj", torch::nn::Linear(width, width));
    } else {
      in_proj_weight = register_parameter("in_proj_weight", at::empty({3 * width, width}));
      in_proj_bias = register_parameter("in_proj_bias", at::zeros({3 * width}));
      proj = register_module("out_proj", torch::nn::Linear(width, width));
      torch::nn::init::xavier_uniform_(in_proj_weight);
      torch::nn::init::zeros_(proj->bias);
    }
  }

  at::Tensor forward(const at::Tensor& x) {
    const auto parts = (qkv ? qkv(x) : at::linear(x, in_proj_weight, in_proj_bias)).chunk(3, -1);
    const double dropout = is_training() ? options.attention_dropout : 0;
    return proj(attend(parts[0], parts[1], parts[2], options.heads, dropout));
  }

  VitBlockOptions options;
  torch::nn::Linear qkv{nullptr}, proj{nullptr};
  at::Tensor in_proj_weight, in_proj_bias;  ///< torchvision's in the place of `qkv`
};
TORCH_MODULE(SelfAttention);

/// Linear, GELU, dropout, linear: [..., width] -> [..., mlp_width] -> [..., width].
struct MlpImpl : torch::nn::Module {
  explicit MlpImpl(const VitBlockOptions& options_ = {}) : options(options_) {
    const bool timm = options.names == VitNames::timm;
    fc1 = register_module(timm ? "fc1" : "0", torch::nn::Linear(options.width, options.mlp_width));
    fc2 = register_module(timm ? "fc2" : "3", torch::nn::Linear(options.mlp_width, options.width));
    if (timm) return;
    for (const auto& layer : {fc1, fc2}) {
      torch::nn::init::xavier_uniform_(layer->weight);
      torch::nn::init::normal_(layer->bias, 0, 1e-6);
    }
  }

  at::Tensor forward(const at::Tensor& x) { return fc2(at::dropout(at::gelu(fc1(x)), options.dropout, is_training())); }

  VitBlockOptions options;
  torch::nn::Linear fc1{nullptr}, fc2{nullptr};
};
TORCH_MODULE(Mlp);

/// Pre-norm transformer block (arXiv:2010.11929): x + attention(norm(x)), then y + MLP(norm(y)), each of what is added
/// with dropout and stochastic depth. [N, tokens, width] -> [N, tokens, width].
struct VitBlockImpl : torch::nn::Module {
  explicit VitBlockImpl(const VitBlockOptions& options_ = {}) : options(options_) {
    const bool timm = options.names == VitNames::timm;
    const auto norm = [&] { return torch::nn::LayerNorm(torch::nn::LayerNormOptions({options.width}).eps(1e-6)); };
    norm1 = register_module(timm ? "norm1" : "ln_1", norm());
    attention = register_module(timm ? "attn" : "self_attention", SelfAttention(options));
    norm2 = register_module(timm ? "norm2" : "ln_2", norm());
    mlp = register_module("mlp", Mlp(options));
  }

  at::Tensor forward(const at::Tensor& x) {
    const at::Tensor y = x + dropped(attention(norm1(x)));
    return y + dropped(mlp(norm2(y)));
  }

  VitBlockOptions options;
  torch::nn::LayerNorm norm1{nullptr}, norm2{nullptr};
  SelfAttention attention{nullptr};
  Mlp mlp{nullptr};

 private:
  [[nodiscard]] at::Tensor dropped(const at::Tensor& x) const {
    const at::Tensor y = at::dropout(x, options.dropout, is_training());
    return options.drop_path > 0 && is_training() ? drop_examples(y, options.drop_path) : y;
  }
};
TORCH_MODULE(VitBlock);

}  // namespace thaw::models
