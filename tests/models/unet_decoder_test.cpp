// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/models/unet_decoder.hpp>

#include "models/formula.hpp"

#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>

#include <catch2/catch_test_macros.hpp>

using namespace thaw::models;

TEST_CASE("a step up doubles the resolution, at first without a checkerboard") {
  PixelShuffleUp up(6, 3, /*blur=*/false);
  const at::Tensor x = at::randn({2, 6, 4, 5}), y = up(x);
  CHECK(y.sizes() == at::IntArrayRef{2, 3, 8, 10});
  const auto pixels = [&](std::int64_t row, std::int64_t column) {
    return y.slice(2, row, 8, 2).slice(3, column, 10, 2);
  };
  CHECK(at::equal(pixels(0, 0), pixels(0, 1)));
  CHECK(at::equal(pixels(0, 0), pixels(1, 0)));
  CHECK(at::equal(pixels(0, 0), pixels(1, 1)));
  CHECK(y.max().item<double>() > 0);
  CHECK(y.min().item<double>() == 0);
  CHECK(up->conv->bias.abs().max().item<double>() == 0);
}

TEST_CASE("blur is the mean of each pixel with those above and left of it, the border repeated") {
  PixelShuffleUp up(4, 2, /*blur=*/false);
  const at::Tensor x = at::randn({1, 4, 3, 3}), sharp = up(x);
  up->blur = true;
  const at::Tensor blurred = up(x);
  CHECK(blurred.sizes() == sharp.sizes());
  const auto at_pixel = [&](std::int64_t row, std::int64_t column) { return sharp.select(2, row).select(2, column); };
  const auto mean = (at_pixel(2, 3) + at_pixel(1, 3) + at_pixel(2, 2) + at_pixel(1, 2)) / 4;
  CHECK(at::allclose(blurred.select(2, 2).select(2, 3), mean));
  CHECK(at::allclose(blurred.select(2, 0).select(2, 0), at_pixel(0, 0)));
}

TEST_CASE("a block goes to the resolution of what it meets, odd sizes too") {
  UNetBlock block(8, 5, 6, /*blur=*/false);
  const at::Tensor x = at::randn({2, 8, 4, 4}), tap = at::randn({2, 5, 7, 9}), copy = tap.clone();
  CHECK(block(x, tap).sizes() == at::IntArrayRef{2, 6, 7, 9});
  CHECK(at::equal(tap, copy));
  CHECK(block->conv1->options.in_channels() == 4 + 5);
}

TEST_CASE("a decoder gives logits of the image's size") {
  const at::Tensor image = at::randn({2, 3, 21, 30});
  const thaw::ForwardPart::Tensors x{image, at::randn({2, 4, 6, 8}), at::randn({2, 6, 3, 4}), at::randn({2, 8, 2, 2})};
  UNetDecoderOptions options{.classes = 5, .taps = {4, 6}, .features = 8, .bottom = 8, .ups = 2};
  CHECK(UNetDecoder(options)(x).sizes() == at::IntArrayRef{2, 5, 21, 30});
  options.last_cross = false;
  options.bottom = 4;
  UNetDecoder plain(options);
  CHECK(plain(x).sizes() == at::IntArrayRef{2, 5, 21, 30});
  CHECK_FALSE(plain->cross1);
  CHECK(plain->middle2->options.out_channels() == 4);
  CHECK(plain->ups->size() == 2);
}
