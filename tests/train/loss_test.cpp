#include <thaw/train/loss.hpp>

#include <ATen/ops/full.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>

using Catch::Matchers::ContainsSubstring;

TEST_CASE("cross_entropy is the mean of -log softmax at the target") {
  const at::Tensor output = at::tensor({0.0, std::log(3.0), 0.0, 0.0}).reshape({2, 2});
  const double loss = thaw::cross_entropy(output, at::tensor({1, 0}, at::kLong)).item<double>();
  CHECK_THAT(loss, Catch::Matchers::WithinAbs((std::log(4.0 / 3) + std::log(2.0)) / 2, 1e-12));
}

TEST_CASE("cross_entropy checks its targets") {
  const at::Tensor output = at::zeros({2, 5});
  CHECK_NOTHROW(thaw::cross_entropy.check(output, at::tensor({0, 4}, at::kLong)));
  CHECK_NOTHROW(thaw::cross_entropy.check(output, at::tensor({-100, 4}, at::kLong)));
  CHECK_NOTHROW(thaw::cross_entropy.check(output, at::rand({2, 5})));
  CHECK_THROWS_WITH(thaw::cross_entropy.check(output, at::tensor({0, 5}, at::kLong)), ContainsSubstring("label 5"));
  CHECK_THROWS_WITH(thaw::cross_entropy.check(output, at::tensor({-1, 2}, at::kLong)), ContainsSubstring("label -1"));
  CHECK_THROWS_WITH(thaw::cross_entropy.check(output, at::rand({2})), ContainsSubstring("floating-point"));
  CHECK_THROWS_AS(thaw::cross_entropy.check(at::zeros({2}), at::zeros({2}, at::kLong)), thaw::DataError);
}
