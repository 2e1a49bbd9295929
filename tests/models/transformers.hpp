// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <thaw/models/bert.hpp>
#include <thaw/models/deit.hpp>
#include <thaw/models/vit.hpp>
#include <thaw/weights/load.hpp>

#include "models/parity.hpp"

#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <filesystem>
#include <stdexcept>

// The transformers of make_transformer_fixtures.py.
namespace thaw::test {

/// A small one of 4 x 4 patches.
inline models::VitOptions small_vit(models::VitNames names) {
  return {.classes = 10,
          .image_size = 32,
          .patch_size = 8,
          .width = 48,
          .depth = 2,
          .heads = 4,
          .mlp_width = 96,
          .names = names};
}

inline models::VitNames vit_names(const std::string& publisher) {
  return publisher == "timm" ? models::VitNames::timm : models::VitNames::torchvision;
}

/// A published size by its original's name.
inline models::VisionTransformer full_vit(const std::string& name) {
  if (name == "vit_b_16") return models::vit_b_16();
  if (name == "deit_tiny_patch16_224") return models::deit_tiny_patch16_224();
  if (name == "deit_small_patch16_224") return models::deit_small_patch16_224();
  throw std::invalid_argument(name);
}

/// Of 40 tokens, without dropout.
inline models::BertOptions small_bert() {
  return {.classes = 5,
          .vocabulary = 40,
          .width = 24,
          .depth = 2,
          .heads = 3,
          .mlp_width = 48,
          .max_tokens = 16,
          .dropout = 0,
          .attention_dropout = 0};
}

/// input_ids, attention_mask, token_type_ids
inline ForwardPart::Tensors texts(const nlohmann::json& fixture) {
  const auto matrix = [&](const char* name) {
    std::vector<at::Tensor> rows;
    for (const auto& row : fixture[name]) rows.push_back(at::tensor(row.get<std::vector<std::int64_t>>()));
    return at::stack(rows);
  };
  return {matrix("input_ids"), matrix("attention_mask"), matrix("token_type_ids")};
}

/// Runs BERT on the first `n` of ids, mask and types.
inline auto on_texts(const ForwardPart::Tensors& x, std::size_t n) {
  return [x, n](models::BertForSequenceClassification& net, at::ScalarType) {
    if (n == 1) return net(x[0]);
    return n == 2 ? net(x[0], x[1]) : net(x[0], x[1], x[2]);
  };
}

/// How the encoder's file of sentence-transformers loads.
inline LoadOptions minilm_load() {
  return {.drop = {"classifier.*", "*.position_ids"}, .rename = {{"^", "bert."}}};
}

/// Features against those that fixture minilm.json keeps.
inline double features_error(const at::Tensor& features, const nlohmann::json& expected) {
  return std::max(logits_error(features, expected["first"]), digest_error(features, expected["digest"]));
}

}  // namespace thaw::test
