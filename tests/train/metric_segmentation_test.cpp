// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/metric_segmentation.hpp>

#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support/metrics.hpp"

using thaw::Average;
using thaw::test::measure;
using thaw::test::measure_one;
using thaw::test::MetricCase;

TEST_CASE("dice and iou are scikit-learn's F1 and Jaccard scores of the pixels") {
  for (const std::string name : {"pixels", "mask"}) {
    const MetricCase data(name);
    CAPTURE(name);
    for (const auto& [key, average] :
         std::vector<std::pair<std::string, Average>>{{"macro", Average::macro}, {"micro", Average::micro}}) {
      check_metric(thaw::dice({.average = average}), data, data.expected["all"]["dice"][key]);
      check_metric(thaw::iou({.average = average}), data, data.expected["all"]["iou"][key]);
      check_metric(thaw::dice({.average = average, .background = false}), data,
                   data.expected["foreground"]["dice"][key]);
      check_metric(thaw::iou({.average = average, .background = false}), data, data.expected["foreground"]["iou"][key]);
      check_metric(thaw::dice({.average = average, .ignore_index = 1}), data, data.expected["without_1"]["dice"][key]);
      check_metric(thaw::iou({.average = average, .ignore_index = 1}), data, data.expected["without_1"]["iou"][key]);
    }
    check_metric(thaw::dice({.average = Average::each}), data, data.expected["all"]["dice"]["each"]);
    check_metric(thaw::iou({.average = Average::each}), data, data.expected["all"]["iou"]["each"]);
    check_precisions(thaw::iou(), data);
  }
}

TEST_CASE("a class that occurs nowhere has no value, and does not count in the mean") {
  at::Tensor output = at::zeros({1, 3, 2, 2});
  output.select(1, 1).fill_(1);
  const at::Tensor target = at::full({1, 2, 2}, 1, at::kLong);
  const auto each = measure(thaw::dice({.average = Average::each}), output, target);
  CHECK(std::isnan(each[0].value));
  CHECK(each[1].value == 1);
  CHECK(std::isnan(each[2].value));
  CHECK(measure_one(thaw::dice(), output, target) == 1);
  CHECK(std::isnan(measure_one(thaw::iou({.ignore_index = 1}), output, target)));
}

TEST_CASE("one logit per pixel is two classes") {
  const MetricCase data("mask");
  const at::Tensor logit = data.output.slice(1, 1, 2) - data.output.slice(1, 0, 1);
  const double expected = measure_one(thaw::dice({.background = false}), data.output, data.target);
  CHECK(measure_one(thaw::dice({.background = false}), logit, data.target.unsqueeze(1)) == expected);
}

TEST_CASE("overlap refuses targets of another size") {
  CHECK_THROWS_WITH(
      thaw::dice().observe(at::zeros({2, 3, 4, 4}), at::zeros({2, 8, 8}, at::kLong)),
      Catch::Matchers::ContainsSubstring("dice: the output is [2, 3, 4, 4], but the targets are [2, 8, 8]"));
  CHECK_THROWS_AS(thaw::iou({.average = Average::samples}), thaw::ConfigError);
}

TEST_CASE("a target that is no class of the output is an error that says it, as 255 that nobody said to ignore") {
  using Catch::Matchers::ContainsSubstring;
  using Catch::Matchers::MessageMatches;
  const at::Tensor output = at::zeros({1, 2, 2, 2}), target = at::tensor({0, 255, 0, 0}, at::kLong).view({1, 2, 2});
  CHECK_THROWS_MATCHES(measure_one(thaw::iou(), output, target), thaw::DataError,
                       MessageMatches(ContainsSubstring("iou: there are targets from 0 to 255") &&
                                      ContainsSubstring("has 2 classes") && ContainsSubstring("ignore_index")));
  CHECK(measure_one(thaw::iou({.ignore_index = 255}), output, target) == 1);
}
