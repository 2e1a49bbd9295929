// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/metric_auroc.hpp>

#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <limits>

#include "support/metrics.hpp"

using thaw::Average;
using thaw::test::measure_one;
using thaw::test::MetricCase;

TEST_CASE("auroc is scikit-learn's roc_auc_score, ties and all: binary, classes, labels") {
  const auto roc = thaw::test::json_fixture("train/metrics.json")["roc"];
  MetricCase binary(roc["binary"]);
  check_metric(thaw::auroc(), binary, binary.expected["auroc"]);
  check_precisions(thaw::auroc(), binary);
  binary.output = binary.output.unsqueeze(1);
  check_metric(thaw::auroc(), binary, binary.expected["auroc"]);
  const MetricCase pair(roc["pair"]);
  check_metric(thaw::auroc(), pair, pair.expected["auroc"]);
  const MetricCase classes(roc["classes"]);
  check_metric(thaw::auroc(), classes, classes.expected["macro"]);
  check_metric(thaw::auroc({.average = Average::each}), classes, classes.expected["each"]);
  const MetricCase labels("labels");
  check_metric(thaw::auroc(), labels, labels.expected["auroc"]["macro"]);
  check_metric(thaw::auroc({.average = Average::each}), labels, labels.expected["auroc"]["each"]);
}

TEST_CASE("auroc is NaN where there is nothing to tell apart, or an output is NaN") {
  const at::Tensor output = at::tensor({0.5, 1., 2.});
  CHECK(std::isnan(measure_one(thaw::auroc(), output, at::tensor({1, 1, 1}))));
  CHECK(std::isnan(measure_one(thaw::auroc(), output, at::tensor({0, 0, 0}))));
  CHECK(measure_one(thaw::auroc(), output, at::tensor({0, 1, 1})) == 1);
  CHECK(measure_one(thaw::auroc(), at::zeros({3}), at::tensor({0, 1, 1})) == 0.5);
  const at::Tensor broken = at::tensor({0.5, std::numeric_limits<double>::quiet_NaN(), 2.});
  CHECK(std::isnan(measure_one(thaw::auroc(), broken, at::tensor({0, 1, 1}))));
}

TEST_CASE("auroc refuses shapes that do not fit") {
  CHECK_THROWS_WITH(thaw::auroc().observe(at::zeros({4, 3}), at::zeros({5})),
                    Catch::Matchers::ContainsSubstring("auroc: the output is [4, 3], but the targets are [5]"));
  CHECK_THROWS_AS(thaw::auroc().observe(at::zeros({4, 3, 2}), at::zeros({4, 3, 2})), thaw::DataError);
  CHECK_THROWS_AS(thaw::auroc({.average = Average::micro}), thaw::ConfigError);
}
