// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/loss_dice.hpp>

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <vector>

#include "support/data.hpp"

using thaw::DiceCrossEntropy;

TEST_CASE("soft Dice is fastai's") {
  const auto golden = thaw::test::json_fixture("train/dice.json");
  const auto output = at::tensor(golden["output"].get<std::vector<float>>()).view({2, 3, 4, 5});
  const auto target = at::tensor(golden["target"].get<std::vector<std::int64_t>>()).view({2, 4, 5});
  for (const auto& each : golden["losses"]) {
    const DiceCrossEntropy loss{.smooth = each["smooth"]};
    CHECK(std::abs(loss.dice(output, target).item<double>() - each["dice"].get<double>()) < 1e-6);
    const double whole = loss(output, target).item<double>();
    CHECK(std::abs(whole - each["dice"].get<double>() - golden["cross_entropy"].get<double>()) < 1e-6);
  }
}

TEST_CASE("pixels that are ignored count nowhere, and get no gradient") {
  at::manual_seed(1);
  const at::Tensor output = at::randn({2, 3, 4, 4}).requires_grad_(), target = at::randint(3, {2, 4, 4}, at::kLong);
  at::Tensor partly = target.clone();
  partly.slice(1, 0, 2).fill_(255);
  const DiceCrossEntropy loss{.weight = 2};
  const double expected = loss(output.slice(2, 2, 4), target.slice(1, 2, 4)).item<double>();
  const at::Tensor value = loss(output, partly);
  CHECK(std::abs(value.item<double>() - expected) < 1e-6);
  value.backward();
  CHECK(output.grad().slice(2, 0, 2).abs().max().item<double>() == 0);
  CHECK(output.grad().slice(2, 2, 4).abs().min().item<double>() > 0);
}

TEST_CASE("a right mask costs nothing, a wrong one all") {
  const at::Tensor target = at::tensor({0, 0, 1, 1}, at::kLong).view({1, 2, 2});
  const at::Tensor right = at::tensor({50., 50., -50., -50., -50., -50., 50., 50.}).view({1, 2, 2, 2});
  const DiceCrossEntropy loss{.smooth = 1e-6};
  CHECK(loss.dice(right, target).item<double>() < 1e-6);
  CHECK(std::abs(loss.dice(-right, target).item<double>() - 1) < 1e-6);
}

TEST_CASE("what segmentation cannot use is refused") {
  using Catch::Matchers::ContainsSubstring;
  using Catch::Matchers::MessageMatches;
  const at::Tensor output = at::zeros({1, 2, 2, 2}), target = at::zeros({1, 2, 2}, at::kLong);
  CHECK_NOTHROW(DiceCrossEntropy{}.check(output, target));
  CHECK_THROWS_AS((DiceCrossEntropy{.smooth = 0}.check(output, target)), thaw::ConfigError);
  CHECK_THROWS_MATCHES(DiceCrossEntropy{}.check(output, target + 2), thaw::DataError,
                       MessageMatches(ContainsSubstring("there is a label 2")));
  CHECK_THROWS_AS(DiceCrossEntropy{}.check(output, at::rand({1, 2, 2, 2})), thaw::DataError);
}
