// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/metric_total.hpp>

#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using thaw::MetricTotal;

namespace {

thaw::Metric entries(thaw::Reduce reduce) {
  return {.name = "x",
          .observe = [](const at::Tensor& output, const at::Tensor&) { return output; },
          .reduce = reduce,
          .value = [](const at::Tensor& total) { return total; }};
}

std::vector<double> numbers(const MetricTotal& total) {
  std::vector<double> numbers;
  for (const auto& [name, value] : total.values()) numbers.push_back(value);
  return numbers;
}

}  // namespace

TEST_CASE("totals add up, or are kept in order; in double, without gradients, and as they were") {
  for (const auto reduce : {thaw::Reduce::sum, thaw::Reduce::cat}) {
    MetricTotal total{entries(reduce)};
    at::Tensor output = at::tensor({1., 2.}).requires_grad_();
    total.add(output, output);
    output.data().fill_(9);
    total.add(at::tensor({3., 4.}).to(at::kHalf), output);
    CHECK_FALSE(total.total().requires_grad());
    CHECK(total.total().scalar_type() == at::kDouble);
    CHECK(numbers(total) == (reduce == thaw::Reduce::sum ? std::vector{4., 6.} : std::vector{1., 2., 3., 4.}));
    CHECK(total.values()[1].name == "x[1]");
  }
}

TEST_CASE("totals of two processes merge into one; reset forgets") {
  for (const auto reduce : {thaw::Reduce::sum, thaw::Reduce::cat}) {
    const at::Tensor a = at::tensor({1., 2.}), b = at::tensor({3., 5.});
    MetricTotal one{entries(reduce)}, other{entries(reduce)}, all{entries(reduce)};
    one.add(a, a), other.add(b, b), all.add(a, a), all.add(b, b);
    one.merge(other.total());
    CHECK(numbers(one) == numbers(all));
    CHECK(numbers(other) == std::vector{3., 5.});
    one.reset();
    CHECK_THROWS_AS(one.values(), thaw::DataError);
    one.add(b, b);
    CHECK(numbers(one) == std::vector{3., 5.});
  }
}

TEST_CASE("a scalar has the metric's name; half a metric is refused") {
  MetricTotal total{thaw::mean_metric("m", [](const at::Tensor& x, const at::Tensor&) { return x.mean(); })};
  total.add(at::ones({2}), at::ones({2}));
  REQUIRE(total.values().size() == 1);
  CHECK(total.values()[0].name == "m");
  CHECK_THROWS_WITH(MetricTotal{thaw::Metric{.name = "half"}}, Catch::Matchers::ContainsSubstring("metric \"half\""));
}
