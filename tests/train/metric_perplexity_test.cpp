// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/metric_perplexity.hpp>

#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support/metrics.hpp"

using Catch::Matchers::WithinAbs;
using thaw::test::measure;
using thaw::test::measure_one;
using thaw::test::MetricCase;

TEST_CASE("perplexity is exp of scikit-learn's log_loss") {
  const MetricCase data("classes");
  check_metric(thaw::perplexity(), data, data.expected["perplexity"]);
  check_metric(thaw::perplexity({.ignore_index = 3}), data, data.expected["perplexity_without_3"]);
  check_precisions(thaw::perplexity(), data);
}

TEST_CASE("perplexity counts tokens, not batches, and not the padding") {
  const at::Tensor output = at::zeros({3, 5, 4});  // uniform over 5: a perplexity of 5
  at::Tensor target = at::full({3, 4}, 2, at::kLong);
  target[2] = -100;  // in batches of 1, the last has no token at all
  for (const std::int64_t batch : {3, 2, 1})
    CHECK_THAT(measure(thaw::perplexity(), output, target, batch)[0].value, WithinAbs(5, 1e-6));
  CHECK(std::isnan(measure_one(thaw::perplexity(), output, at::full({3, 4}, -100, at::kLong))));
  CHECK_THROWS_WITH(thaw::perplexity().observe(output.transpose(1, 2), target),
                    Catch::Matchers::ContainsSubstring("perplexity: ") &&
                        Catch::Matchers::ContainsSubstring("output.transpose(1, 2)"));
}
