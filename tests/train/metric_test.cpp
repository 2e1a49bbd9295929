// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/metric.hpp>

#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support/metrics.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::test::measure;
using thaw::test::measure_one;
using thaw::test::MetricCase;

TEST_CASE("accuracy is the fraction of samples whose largest output is the target's") {
  const at::Tensor output = at::tensor({1., 2., 0., 5., 1., 0., 0., 0., 1., 3., 1., 2.}).reshape({4, 3});
  CHECK(thaw::accuracy().name == "accuracy");
  CHECK(measure_one(thaw::accuracy(), output, at::tensor({1, 0, 2, 1}, at::kLong)) == 0.75);
}

TEST_CASE("accuracy and top_k are scikit-learn's, however the samples are batched") {
  const MetricCase data("classes");
  check_metric(thaw::accuracy(), data, data.expected["accuracy"]);
  check_metric(thaw::accuracy({.ignore_index = 3}), data, data.expected["accuracy_without_3"]);
  check_metric(thaw::top_k(2), data, data.expected["top_2"]);
  CHECK(measure_one(thaw::top_k(1), data.output, data.target) ==
        measure_one(thaw::accuracy(), data.output, data.target));
  CHECK(measure_one(thaw::top_k(6), data.output, data.target) == 1);
  check_precisions(thaw::accuracy(), data);
  check_precisions(thaw::top_k(2), data);
}

TEST_CASE("accuracy counts pixels, but not the ignored ones") {
  at::Tensor output = at::zeros({2, 3, 2, 2});
  output.select(1, 2).fill_(1);
  at::Tensor target = at::full({2, 2, 2}, 2, at::kLong);
  target[0][0][0] = 1;
  CHECK(measure_one(thaw::accuracy(), output, target) == 7. / 8);
  target[1] = 255;
  CHECK(measure_one(thaw::accuracy({.ignore_index = 255}), output, target) == 3. / 4);
  CHECK(std::isnan(measure_one(thaw::accuracy({.ignore_index = 2}), output, at::full({2, 2, 2}, 2, at::kLong))));
}

TEST_CASE("mean_metric weighs a batch by its samples") {
  const thaw::Metric metric =
      thaw::mean_metric("mean", [](const at::Tensor& output, const at::Tensor&) { return output.mean(); });
  const at::Tensor output = at::tensor({1., 2., 3., 4., 10.});
  for (const std::int64_t batch : {5, 2, 1})
    CHECK_THAT(measure(metric, output, output, batch)[0].value, Catch::Matchers::WithinAbs(4, 1e-12));
  const auto same = thaw::mean_metric("same", [](const at::Tensor& x, const at::Tensor&) { return x; });
  CHECK_THROWS_WITH(same.observe(output, output), ContainsSubstring("metric \"same\": it gives 5 values"));
}

TEST_CASE("metrics of classes refuse shapes that do not fit, and say which") {
  const auto target = at::zeros({4}, at::kLong);
  const auto refuses = [](const at::Tensor& output, const at::Tensor& targets, const std::string& text) {
    CHECK_THROWS_WITH(thaw::accuracy().observe(output, targets),
                      ContainsSubstring("accuracy: ") && ContainsSubstring(text));
    CHECK_THROWS_AS(thaw::top_k(2).observe(output, targets), thaw::DataError);
  };
  refuses(at::zeros({4}), target, "1 dimension(s)");
  refuses(at::zeros({4, 3}), target.unsqueeze(1), "target.squeeze(1)");
  refuses(at::zeros({4, 3}), at::zeros({5}, at::kLong), "the output is [4, 3], but the targets are [5]");
  refuses(at::zeros({4, 7, 3}), at::zeros({4, 7}, at::kLong), "output.transpose(1, 2)");
  CHECK_THROWS_WITH(thaw::top_k(4).observe(at::zeros({4, 3}), target),
                    ContainsSubstring("top_4: the output has 3 classes"));
  CHECK_THROWS_AS(thaw::top_k(0), thaw::ConfigError);
}
