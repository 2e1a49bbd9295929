// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/text/tokens.hpp>

namespace thaw::text {

/// What BERT's `forward` takes, in its order: each [texts, tokens], int64, on the CPU. The mask is 1 where there is a
/// token and 0 where there is padding.
struct TokenBatch {
  at::Tensor input_ids, attention_mask, token_type_ids;
};

/// Texts side by side, each filled up behind its end with the token `padding` to the length of the longest, or to
/// `length` if that is not 0. What is filled up is masked, and of type 0. Throws DataError where there is no text, and
/// for a text longer than `length`.
[[nodiscard]] inline TokenBatch pad(const std::vector<Tokens>& texts, std::int64_t padding, std::int64_t length = 0) {
  if (texts.empty()) throw DataError("pad", "there are no texts", "give at least one");
  std::int64_t longest = 0;
  for (const Tokens& text : texts) {
    longest = std::max(longest, std::ssize(text.ids));
    if (text.types.size() != text.ids.size())
      throw DataError("pad",
                      std::to_string(text.ids.size()) + " ids, but " + std::to_string(text.types.size()) + " types",
                      "give one type per id, as WordPiece::encode does");
  }
  if (length != 0 && longest > length)
    throw DataError("pad",
                    "a text has " + std::to_string(longest) + " tokens, which is more than " + std::to_string(length),
                    "cut it: give encode() max_tokens");
  const std::vector<std::int64_t> shape{std::ssize(texts), length == 0 ? longest : length};
  TokenBatch batch{.input_ids = at::full(shape, padding, at::kLong),
                   .attention_mask = at::zeros(shape, at::kLong),
                   .token_type_ids = at::zeros(shape, at::kLong)};
  const auto row = [&](const at::Tensor& all, std::size_t i) {
    return all.data_ptr<std::int64_t>() + static_cast<std::int64_t>(i) * shape[1];
  };
  for (std::size_t i = 0; i < texts.size(); ++i) {
    std::ranges::copy(texts[i].ids, row(batch.input_ids, i));
    std::fill_n(row(batch.attention_mask, i), texts[i].ids.size(), 1);
    std::ranges::copy(texts[i].types, row(batch.token_type_ids, i));
  }
  return batch;
}

}  // namespace thaw::text
