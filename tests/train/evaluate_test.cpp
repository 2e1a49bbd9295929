// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/detail/evaluate.hpp>

#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <thaw/data/in_memory.hpp>
#include <thaw/train/loss.hpp>
#include <thaw/train/metric_auroc.hpp>
#include <thaw/train/metric_f_beta.hpp>

TEST_CASE("a pass gives loss and metrics in order, one or several values each, exact over an uneven last batch") {
  at::manual_seed(3);
  const at::Tensor input = at::rand({21, 3}, at::kDouble), target = at::randint(3, {21}, at::kLong);
  const thaw::detail::Task task{
      .forward = [](const at::Tensor& x) { return x; }, .loss = thaw::cross_entropy, .check = {}};
  const std::vector<thaw::Metric> metrics{thaw::accuracy(), thaw::f_beta({.average = thaw::Average::each}),
                                          thaw::auroc()};

  const auto pass = [&](std::int64_t batch, const std::vector<thaw::Metric>& wanted) {
    const thaw::InMemory data({.input = input, .target = target, .batch_size = batch});
    return thaw::detail::evaluate(task, wanted, data.stream(0), at::kCPU);
  };
  const thaw::Evaluation evaluation = pass(8, metrics), whole = pass(21, metrics);
  CHECK_THAT(evaluation.loss, Catch::Matchers::WithinAbs(thaw::cross_entropy(input, target).item<double>(), 1e-12));
  const std::vector<std::string> names{"accuracy", "f1[0]", "f1[1]", "f1[2]", "auroc"};
  REQUIRE(evaluation.metrics.size() == names.size());
  std::size_t i = 0;
  for (const thaw::Metric& metric : metrics) {
    thaw::MetricTotal total{metric};
    total.add(input, target);
    for (const auto& [name, value] : total.values()) {
      CHECK(evaluation.metrics[i].name == names[i]);
      CHECK_THAT(evaluation.metrics[i].value, Catch::Matchers::WithinAbs(value, 1e-12));
      CHECK_THAT(whole.metrics[i++].value, Catch::Matchers::WithinAbs(value, 1e-12));
    }
  }
  CHECK(pass(8, {}).metrics.empty());
}
