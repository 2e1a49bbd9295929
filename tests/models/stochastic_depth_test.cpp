// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/models/stochastic_depth.hpp>

#include <ATen/Context.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <cmath>

#include <catch2/catch_test_macros.hpp>

TEST_CASE("stochastic depth drops whole examples and keeps the mean") {
  at::manual_seed(0);
  const at::Tensor kept = thaw::models::drop_examples(at::ones({1000, 2, 3}), 0.25);
  CHECK(at::equal(kept.amax({1, 2}), kept.amin({1, 2})));
  CHECK(at::allclose(kept.amax(), at::ones({}) / 0.75));
  CHECK(std::abs(kept.mean().item<double>() - 1) < 0.06);  // three standard deviations
}
