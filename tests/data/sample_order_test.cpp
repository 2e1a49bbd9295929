// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/data/sample_order.hpp>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/bincount.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>

using thaw::SampleOrder;

TEST_CASE("batches cover the samples, the last one as it is or left out") {
  const SampleOrder order{.samples = 10, .batch_size = 4};
  CHECK(order.batches() == 3);
  CHECK(order.last_batch() == 2);
  CHECK(order.first_of(2) == 8);
  CHECK(order.last_of(2) == 10);
  CHECK(order.last_of(1) == 8);
  const SampleOrder full{.samples = 10, .batch_size = 4, .drop_last = true};
  CHECK(full.batches() == 2);
  CHECK(full.last_batch() == 4);
  CHECK(SampleOrder{.samples = 8, .batch_size = 4}.last_batch() == 4);
}

TEST_CASE("an order is a permutation that seed and epoch fix; none without shuffling") {
  CHECK_FALSE(SampleOrder{.samples = 5}.of_epoch(0).defined());
  const SampleOrder order{.samples = 50, .shuffle = true, .seed = 3};
  const at::Tensor first = order.of_epoch(0);
  CHECK(std::get<0>(first.sort()).equal(at::arange(50)));
  CHECK(first.equal(order.of_epoch(0)));
  CHECK_FALSE(first.equal(order.of_epoch(1)));
  CHECK_FALSE(first.equal(SampleOrder{.samples = 50, .shuffle = true, .seed = 4}.of_epoch(0)));
}

TEST_CASE("weights: as many draws as samples, as often as they say, fixed by seed and epoch") {
  const SampleOrder order{.samples = 4000, .seed = 3, .weights = at::arange(4000).remainder(4)};  // 0, 1, 2, 3
  const at::Tensor drawn = order.of_epoch(0);
  CHECK(drawn.size(0) == 4000);
  CHECK(drawn.equal(order.of_epoch(0)));
  CHECK_FALSE(drawn.equal(order.of_epoch(1)));
  const at::Tensor counts = drawn.remainder(4).bincount();
  CHECK(counts[0].item<std::int64_t>() == 0);
  for (std::int64_t i = 1; i < 4; ++i)
    CHECK(std::abs(counts[i].item<double>() - 4000.0 / 6 * static_cast<double>(i)) < 120);
}

TEST_CASE("an order without a sample or a batch is refused") {
  using Catch::Matchers::ContainsSubstring;
  using Catch::Matchers::MessageMatches;
  const auto refused = [](const SampleOrder& order, const char* what) {
    CHECK_THROWS_MATCHES(order.check("Here"), thaw::DataError,
                         MessageMatches(ContainsSubstring("Here: ") && ContainsSubstring(what)));
  };
  refused({.samples = 0}, "there are no samples");
  refused({.samples = 3, .batch_size = 0}, "batch_size is 0");
  refused({.samples = 3, .batch_size = 4, .drop_last = true}, "3 samples do not fill one batch of 4");
  CHECK_NOTHROW(SampleOrder{.samples = 3, .batch_size = 4}.check("Here"));
  const at::Tensor three = at::arange(3).to(at::kDouble);
  CHECK_NOTHROW(SampleOrder{.samples = 3, .weights = three}.check("Here"));
  refused({.samples = 4, .weights = three}, "3 weights in 1 dimension(s), and 4 samples");
  refused({.samples = 3, .weights = three - 1}, "weights are negative, not finite, or all 0");
  refused({.samples = 3, .weights = three / 0}, "weights are negative, not finite, or all 0");
  refused({.samples = 3, .weights = three * 0}, "weights are negative, not finite, or all 0");
}
