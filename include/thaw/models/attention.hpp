// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include <fmt/format.h>

#include <cstdint>
#include <optional>

#include <thaw/models/detail/checks.hpp>

namespace thaw::models {

/// Multi-head attention (arXiv:1706.03762) without its projections: softmax(q k^T / sqrt(width / heads)) v in each
/// head, where head h has the h-th part of the width. q, k, v [N, tokens, width] -> [N, tokens, width].
///
/// `mask`, bool, says which keys may be looked at and must broadcast to [N, heads, tokens, tokens]; undefined: all.
/// `dropout` is the probability with which an attention weight becomes 0: give 0 outside training. `heads` must divide
/// the width.
[[nodiscard]] inline at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                       std::int64_t heads, double dropout = 0, const at::Tensor& mask = {}) {
  const auto by_head = [&](const at::Tensor& x) { return x.unflatten(2, {heads, x.size(2) / heads}).transpose(1, 2); };
  const auto allowed = mask.defined() ? std::optional(mask) : std::nullopt;
  return at::scaled_dot_product_attention(by_head(q), by_head(k), by_head(v), allowed, dropout)
      .transpose(1, 2)
      .flatten(2);
}

namespace detail {

/// What the options of every transformer have.
inline void check_transformer(const char* model, std::int64_t width, std::int64_t depth, std::int64_t heads,
                              std::int64_t mlp_width) {
  require(model, heads >= 1 && width >= 1 && width % heads == 0, fmt::format("width is {}, heads {}", width, heads),
          "give a width that is a multiple of the heads; base models have 768 and 12");
  require(model, depth >= 1 && mlp_width >= 1, fmt::format("depth is {}, mlp_width {}", depth, mlp_width),
          "give 1 or more; base models have 12 and 3072");
}

}  // namespace detail

}  // namespace thaw::models
