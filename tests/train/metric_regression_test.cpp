// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/metric_regression.hpp>

#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support/metrics.hpp"

using Catch::Matchers::WithinAbs;
using thaw::test::measure;
using thaw::test::measure_one;
using thaw::test::MetricCase;

TEST_CASE("mae, rmse and r2 are scikit-learn's, also far from 0 and of several columns") {
  for (const std::string name : {"numbers", "far", "columns"}) {
    CAPTURE(name);
    const MetricCase data(name);
    check_metric(thaw::mae(), data, data.expected["mae"]);
    check_metric(thaw::rmse(), data, data.expected["rmse"]);
    check_metric(thaw::r2(), data, data.expected["r2"]);
  }
  const MetricCase data("numbers");
  for (const auto& metric : {thaw::mae(), thaw::rmse(), thaw::r2()}) check_precisions(metric, data);
}

TEST_CASE("r2 loses no digits to a mean of 1e9") {
  const at::Tensor step = at::arange(40, at::kDouble), output = step + 0.5 * (step.remainder(2) - 0.5);
  const double near = measure_one(thaw::r2(), output, step);
  CHECK_THAT(measure(thaw::r2(), output + 1e9, step + 1e9, 7)[0].value, WithinAbs(near, 1e-12));
}

TEST_CASE("r2 of a constant target is 1 where it is met, else 0") {
  CHECK(measure_one(thaw::r2(), at::ones({6}), at::ones({6})) == 1);
  CHECK(measure_one(thaw::r2(), at::zeros({6}), at::ones({6})) == 0);
}

TEST_CASE("regression refuses what would broadcast") {
  for (const auto& metric : {thaw::mae(), thaw::rmse(), thaw::r2()}) {
    CHECK_THROWS_WITH(
        metric.observe(at::zeros({4, 1}), at::zeros({4})),
        Catch::Matchers::ContainsSubstring(metric.name + ": the output is [4, 1], but the targets are [4]"));
    CHECK_THROWS_AS(metric.observe(at::zeros({4}), at::zeros({1})), thaw::DataError);
  }
}
