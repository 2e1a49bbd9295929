// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/text/pad.hpp>

#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

const std::vector<thaw::text::Tokens> two_texts{{.ids = {2, 7, 3}, .types = {0, 0, 0}},
                                          {.ids = {2, 8, 3, 9, 3}, .types = {0, 0, 0, 1, 1}}};

at::Tensor rows(std::vector<std::int64_t> numbers) {
  return at::tensor(numbers, at::kLong).view({2, -1});
}

}  // namespace

TEST_CASE("texts are filled up to the longest, and what is filled up is masked and of type 0") {
  const thaw::text::TokenBatch batch = thaw::text::pad(two_texts, 5);
  CHECK(at::equal(batch.input_ids, rows({2, 7, 3, 5, 5, 2, 8, 3, 9, 3})));
  CHECK(at::equal(batch.attention_mask, rows({1, 1, 1, 0, 0, 1, 1, 1, 1, 1})));
  CHECK(at::equal(batch.token_type_ids, rows({0, 0, 0, 0, 0, 0, 0, 0, 1, 1})));
}

TEST_CASE("or to a length that is given") {
  const thaw::text::TokenBatch batch = thaw::text::pad(two_texts, 0, 6);
  CHECK(at::equal(batch.input_ids, rows({2, 7, 3, 0, 0, 0, 2, 8, 3, 9, 3, 0})));
  CHECK(at::equal(batch.attention_mask.sum(1), at::tensor({3, 5}, at::kLong)));
  CHECK(thaw::text::pad(two_texts, 0, 5).input_ids.size(1) == 5);
}

TEST_CASE("no texts, one that is too long, and one without types are errors") {
  CHECK_THROWS_AS(thaw::text::pad({}, 0), thaw::DataError);
  CHECK_THROWS_MATCHES(thaw::text::pad(two_texts, 0, 4), thaw::DataError,
                       MessageMatches(ContainsSubstring("5 tokens, which is more than 4")));
  CHECK_THROWS_MATCHES(thaw::text::pad({{.ids = {1, 2}, .types = {0}}}, 0), thaw::DataError,
                       MessageMatches(ContainsSubstring("2 ids, but 1 types")));
}
