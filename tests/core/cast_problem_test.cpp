// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/core/cast_problem.hpp>

#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using Catch::Matchers::ContainsSubstring;

TEST_CASE("numbers go where they stay finite, whatever precision they lose; integers where they stay the same") {
  const auto problem = [](at::ScalarType to, at::ScalarType from, double value) {
    return thaw::detail::cast_problem(at::zeros({2}, to), at::full({2}, value, at::kDouble).to(from));
  };
  CHECK(problem(at::kFloat, at::kFloat, 1e38).empty());
  CHECK(problem(at::kHalf, at::kFloat, 6e4).empty());
  CHECK(problem(at::kLong, at::kInt, 7).empty());
  CHECK(problem(at::kBool, at::kByte, 1).empty());
  CHECK(problem(at::kComplexFloat, at::kFloat, 1).empty());
  CHECK_THAT(problem(at::kHalf, at::kFloat, 7e4), ContainsSubstring("is Float, the model's is Half, in which some"));
  CHECK_THAT(problem(at::kBFloat16, at::kFloat, 3.4e38), ContainsSubstring("are infinite"));
  CHECK_THAT(problem(at::kBool, at::kByte, 2), ContainsSubstring("cannot hold"));
  CHECK_THAT(problem(at::kFloat, at::kLong, 1), ContainsSubstring("another kind of number"));
  CHECK_THAT(problem(at::kFloat, at::kComplexFloat, 1), ContainsSubstring("another kind of number"));
}
