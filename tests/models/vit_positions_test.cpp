// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/models/vit_positions.hpp>

#include "models/formula.hpp"
#include "support/data.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace thaw::models;
using Catch::Matchers::ContainsSubstring;
using thaw::test::distance;
using thaw::test::wave;

TEST_CASE("position embeddings for another grid are torchvision's and timm's") {
  const auto fixture = thaw::test::json_fixture("models/vit.json");
  REQUIRE(fixture["positions"].size() == 4);
  const at::Tensor positions = wave({1, 17, 6}, 0.37).to(at::kFloat);
  for (const auto& expected : fixture["positions"]) {
    CAPTURE(expected["rows"].dump(), expected["columns"].dump());
    const auto at_names = [&](VitNames names) {
      return resample_positions(positions, expected["rows"], expected["columns"], names);
    };
    CHECK(distance(at_names(VitNames::timm), expected["timm"]) < 1e-6);
    if (expected.contains("torchvision"))
      CHECK(distance(at_names(VitNames::torchvision), expected["torchvision"]) < 1e-6);
    CHECK(at::equal(at_names(VitNames::torchvision).slice(1, 0, 1), positions.slice(1, 0, 1)));
  }
}

TEST_CASE("position embeddings for the same grid are those that were given") {
  const at::Tensor positions = wave({1, 10, 6}, 0.37);
  CHECK(resample_positions(positions, 3, 3, VitNames::timm).is_same(positions));
  CHECK(resample_positions(wave({1, 2, 6}, 0.37), 2, 1, VitNames::timm).sizes() == at::IntArrayRef{1, 3, 6});
}

TEST_CASE("resampled position embeddings keep their dtype, and lead gradients to those that are learned") {
  for (const VitNames names : {VitNames::torchvision, VitNames::timm}) {
    CHECK(resample_positions(wave({1, 10, 6}, 0.37).to(at::kBFloat16), 4, 5, names).scalar_type() == at::kBFloat16);
    at::Tensor positions = wave({1, 10, 6}, 0.37);
    positions.requires_grad_();
    const at::Tensor resampled = resample_positions(positions, 4, 5, names);
    CHECK(resampled.scalar_type() == at::kDouble);
    resampled.sum().backward();
    CHECK(positions.grad().abs().min().item<double>() > 0);
    CHECK(std::abs(positions.grad().sum().item<double>() - 21 * 6) < 1e-9);  // weights of each new one add up to 1
  }
}

TEST_CASE("position embeddings of no square, and empty grids, are errors") {
  for (const at::Tensor& wrong :
       {at::empty({1, 16, 6}), at::empty({17, 6}), at::empty({2, 17, 6}), at::empty({1, 1, 6})})
    CHECK_THROWS_AS(resample_positions(wrong, 4, 4, VitNames::timm), thaw::ConfigError);
  CHECK_THROWS_WITH(resample_positions(at::empty({1, 16, 6}), 4, 4, VitNames::timm),
                    ContainsSubstring("[1, 16, 6]") && ContainsSubstring("[1, 1 + n n, width]"));
  CHECK_THROWS_WITH(resample_positions(at::empty({1, 17, 6}), 0, 4, VitNames::timm), ContainsSubstring("0 x 4"));
}
