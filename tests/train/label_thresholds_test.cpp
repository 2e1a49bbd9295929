// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/label_thresholds.hpp>

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/tensor.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <thaw/train/metric_multi_label.hpp>

using thaw::label_thresholds;

namespace {

/// Of one label predicted above a threshold.
double f_beta_above(const at::Tensor& p, const at::Tensor& y, double threshold, double beta) {
  const auto metric = thaw::multi_label_f_beta({.beta = beta, .threshold = threshold, .sigmoid = false});
  return metric.value(metric.observe(p.unsqueeze(1), y.unsqueeze(1))).item<double>();
}

}  // namespace

TEST_CASE("thresholds lie where each label's F-beta is highest") {
  at::manual_seed(3);
  const at::Tensor y = at::rand({60, 4}).lt(at::tensor({0.1, 0.4, 0.6, 0.5})).to(at::kFloat);
  const at::Tensor p = (0.3 * y + at::rand({60, 4})).clamp(0, 1);
  for (const double beta : {0.5, 1.0, 2.0}) {
    const at::Tensor thresholds = label_thresholds(p, y, {.beta = beta});
    for (std::int64_t label = 0; label < 4; ++label) {
      const at::Tensor one = p.select(1, label), truth = y.select(1, label);
      const double found = f_beta_above(one, truth, thresholds[label].item<double>(), beta);
      for (int i = 0; i < 200; ++i) CHECK(f_beta_above(one, truth, i / 200.0, beta) <= found + 1e-12);
    }
  }
}

TEST_CASE("a threshold is in the middle of a gap; equal probabilities are not parted; a label never true keeps 0.5") {
  const at::Tensor p = at::tensor({0.9, 0.2, 0.3, 0.7, 0.2, 0.3, 0.3, 0.2, 0.3, 0.1, 0.2, 0.3}).view({4, 3});
  const at::Tensor y = at::tensor({1., 1., 0., 1., 0., 0., 0., 1., 0., 0., 0., 0.}).view({4, 3});
  CHECK(at::allclose(label_thresholds(p, y), at::tensor({0.5, 0.1, 0.5}, at::kDouble)));
}

TEST_CASE("one threshold for all labels, by all of them together") {
  const at::Tensor p = at::tensor({0.9, 0.4, 0.6, 0.2}).view({2, 2}), y = at::tensor({1., 1., 0., 0.}).view({2, 2});
  const at::Tensor shared = label_thresholds(p, y, {.per_label = false});  // .9 yes, .6 no, .4 yes, .2 no
  CHECK(at::allclose(shared, at::tensor({0.3, 0.3}, at::kDouble)));
}

TEST_CASE("thresholds need probabilities and targets of one shape") {
  using Catch::Matchers::ContainsSubstring;
  using Catch::Matchers::MessageMatches;
  CHECK_THROWS_AS(label_thresholds(at::rand({3, 2}), at::rand({2, 2})), thaw::DataError);
  CHECK_THROWS_MATCHES(label_thresholds(at::rand({3}), at::rand({3})), thaw::DataError,
                       MessageMatches(ContainsSubstring("give [samples, labels]")));
  CHECK_THROWS_AS(label_thresholds(at::rand({3, 2}), at::rand({3, 2}), {.beta = 0}), thaw::ConfigError);
}
