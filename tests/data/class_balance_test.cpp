// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/data/class_balance.hpp>

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/bincount.h>
#include <ATen/ops/tensor.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <thaw/data/in_memory.hpp>

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

const at::Tensor unbalanced = at::tensor({0, 0, 0, 1, 0, 2, 0, 1}, at::kLong);  // 5, 2, 1

}  // namespace

TEST_CASE("class weights are scikit-learn's balanced ones") {
  CHECK(at::allclose(thaw::class_weights(unbalanced), at::tensor({8.0F / 15, 8.0F / 6, 8.0F / 3}), 1e-6));
  CHECK_THROWS_MATCHES(thaw::class_weights(unbalanced, 4), thaw::DataError,
                       MessageMatches(ContainsSubstring("class 3 has no sample")));
  CHECK_THROWS_MATCHES(thaw::class_weights(unbalanced, 2), thaw::DataError,
                       MessageMatches(ContainsSubstring("there is a label 2")));
  CHECK_THROWS_MATCHES(thaw::class_weights(unbalanced - 1), thaw::DataError,
                       MessageMatches(ContainsSubstring("there is a label -1")));
  CHECK_THROWS_MATCHES(thaw::class_weights(unbalanced.to(at::kFloat)), thaw::DataError,
                       MessageMatches(ContainsSubstring("the labels are no class numbers")));
}

TEST_CASE("by balanced weights each class is drawn as often; a subset keeps its samples' weights") {
  const at::Tensor many = unbalanced.repeat({500}), number = at::arange(many.size(0));
  const thaw::InMemory source({.input = number, .target = many, .weights = thaw::balanced_weights(many)});
  const auto counts = [](const thaw::InMemory& data) {
    at::Tensor sum = at::zeros({3}, at::kLong);
    for (thaw::BatchStream next = data.stream(0); const std::optional<thaw::Batch> batch = next();)
      sum += batch->target[0].bincount({}, 3);
    return sum;
  };
  const at::Tensor drawn = counts(source);
  CHECK(drawn.sum().item<std::int64_t>() == 4000);
  CHECK((drawn.min().item<std::int64_t>() > 1200 && drawn.max().item<std::int64_t>() < 1470));
  const at::Tensor half = counts(source.subset(number.slice(0, 0, 2000)));
  CHECK((half.min().item<std::int64_t>() > 570 && half.max().item<std::int64_t>() < 770));
}
