// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/metric_f_beta.hpp>

#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support/metrics.hpp"

using thaw::Average;
using thaw::test::MetricCase;

TEST_CASE("precision, recall and F-beta are scikit-learn's, with classes that never occur") {
  const MetricCase data("classes");
  for (const auto& [key, ignore_index] :
       std::vector<std::pair<std::string, std::optional<std::int64_t>>>{{"scores", {}}, {"scores_without_3", 3}})
    for (const auto& [name, average] : std::vector<std::pair<std::string, Average>>{
             {"macro", Average::macro}, {"micro", Average::micro}, {"each", Average::each}}) {
      CAPTURE(key, name);
      const auto& expected = data.expected[key][name];
      check_metric(thaw::precision({.average = average, .ignore_index = ignore_index}), data, expected["precision"]);
      check_metric(thaw::recall({.average = average, .ignore_index = ignore_index}), data, expected["recall"]);
      check_metric(thaw::f_beta({.average = average, .ignore_index = ignore_index}), data, expected["f1"]);
      check_metric(thaw::f_beta({.beta = 2, .average = average, .ignore_index = ignore_index}), data, expected["f2"]);
    }
  check_precisions(thaw::f_beta(), data);
}

TEST_CASE("one logit per sample is two classes") {
  const MetricCase data("classes");
  const at::Tensor logit = data.output.select(1, 0), target = data.target.gt(1);
  const at::Tensor pair = at::stack({at::zeros_like(logit), logit}, 1);
  const double expected = thaw::test::measure_one(thaw::f_beta(), pair, target.to(at::kLong));
  CHECK(thaw::test::measure_one(thaw::f_beta(), logit.unsqueeze(1), target.to(at::kLong)) == expected);
  CHECK(thaw::test::measure_one(thaw::f_beta(), logit.unsqueeze(1), target.to(at::kFloat).unsqueeze(1)) == expected);
}

TEST_CASE("F-beta is named by its beta, and refuses what makes no sense") {
  CHECK(thaw::f_beta({.beta = 0.5}).name == "f0.5");
  CHECK(thaw::f_beta({.beta = 10}).name == "f10");
  CHECK_THROWS_AS(thaw::f_beta({.beta = 0}), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::recall({.average = Average::samples}), thaw::ConfigError);
  CHECK_THROWS_WITH(thaw::recall().observe(at::zeros({4, 3}), at::zeros({5}, at::kLong)),
                    Catch::Matchers::ContainsSubstring("recall: the output is [4, 3], but the targets are [5]"));
}
