// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/core/adapt_channels.hpp>

#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using thaw::adapt_input_channels;

TEST_CASE("a first convolution's weight is adapted to other channels by fastai's rule") {
  const at::Tensor rgb = at::randn({4, 3, 5, 5}), copy = rgb.clone();
  CHECK(adapt_input_channels(rgb, 3).is_same(rgb));

  const at::Tensor grey = adapt_input_channels(rgb, 1);
  CHECK(grey.sizes() == at::IntArrayRef{4, 1, 5, 5});
  CHECK(at::equal(grey, rgb.sum(1, true)));

  CHECK(at::equal(adapt_input_channels(rgb, 2), rgb.slice(1, 0, 2) * 1.5));

  const at::Tensor wider = adapt_input_channels(rgb, 5);
  CHECK(wider.sizes() == at::IntArrayRef{4, 5, 5, 5});
  CHECK(at::equal(wider.slice(1, 0, 3), rgb));
  CHECK(wider.slice(1, 3).abs().max().item<double>() == 0);
  CHECK(adapt_input_channels(rgb.to(at::kDouble), 4).scalar_type() == at::kDouble);
  CHECK(at::equal(rgb, copy));
}

TEST_CASE("a weight that is none for RGB is an error that says so") {
  using Catch::Matchers::ContainsSubstring;
  CHECK_THROWS_WITH(adapt_input_channels(at::randn({4, 1, 5, 5}), 3), ContainsSubstring("[4, 1, 5, 5]"));
  CHECK_THROWS_AS(adapt_input_channels(at::randn({4, 3}), 1), thaw::ConfigError);
  CHECK_THROWS_WITH(adapt_input_channels(at::randn({4, 3, 5, 5}), 0), ContainsSubstring("channels is 0"));
}
