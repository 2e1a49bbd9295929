// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/metric_multi_label.hpp>

#include <ATen/ops/zeros.h>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support/metrics.hpp"

using thaw::Average;
using thaw::test::measure_one;
using thaw::test::MetricCase;

TEST_CASE("multi-label scores are scikit-learn's, by every average and threshold") {
  const MetricCase data("labels");
  for (const auto& [key, threshold] : std::vector<std::pair<std::string, double>>{{"half", 0.5}, {"quarter", 0.25}}) {
    check_metric(thaw::multi_label_accuracy({.threshold = threshold}), data, data.expected[key]["accuracy"]);
    for (const auto& [name, average] : std::vector<std::pair<std::string, Average>>{{"macro", Average::macro},
                                                                                    {"micro", Average::micro},
                                                                                    {"each", Average::each},
                                                                                    {"samples", Average::samples}}) {
      CAPTURE(key, name);
      const auto& expected = data.expected[key]["scores"][name];
      const thaw::MultiLabel how{.threshold = threshold, .average = average};
      check_metric(thaw::multi_label_precision(how), data, expected["precision"]);
      check_metric(thaw::multi_label_recall(how), data, expected["recall"]);
      check_metric(thaw::multi_label_f_beta({.threshold = threshold, .average = average}), data, expected["f1"]);
      check_metric(thaw::multi_label_f_beta({.beta = 2, .threshold = threshold, .average = average}), data,
                   expected["f2"]);
    }
  }
  check_precisions(thaw::multi_label_f_beta({.beta = 2, .average = Average::samples}), data);
  check_precisions(thaw::multi_label_accuracy(), data);
}

TEST_CASE("probabilities and targets of any dtype will do") {
  const MetricCase data("labels");
  const double expected = measure_one(thaw::multi_label_f_beta(), data.output, data.target);
  CHECK(measure_one(thaw::multi_label_f_beta({.sigmoid = false}), data.output.sigmoid(), data.target) == expected);
  CHECK(measure_one(thaw::multi_label_f_beta(), data.output, data.target.to(at::kFloat)) == expected);
  CHECK(measure_one(thaw::multi_label_f_beta(), data.output, data.target.to(at::kBool)) == expected);
}

TEST_CASE("multi-label metrics refuse shapes that differ") {
  CHECK_THROWS_WITH(thaw::multi_label_accuracy().observe(at::zeros({4, 1}), at::zeros({4})),
                    Catch::Matchers::ContainsSubstring("multi_label_accuracy: the output is [4, 1]") &&
                        Catch::Matchers::ContainsSubstring("squeeze(-1)"));
  CHECK_THROWS_AS(thaw::multi_label_recall().observe(at::zeros({4, 3}), at::zeros({4, 2})), thaw::DataError);
  CHECK_THROWS_AS(thaw::multi_label_f_beta().observe(at::zeros({4}), at::zeros({4})), thaw::DataError);
  CHECK_THROWS_AS(thaw::multi_label_f_beta({.beta = -1}), thaw::ConfigError);
}
