#include <thaw/train/test_time_augmentation.hpp>

#include <catch2/catch_test_macros.hpp>

#include "support/bench.hpp"

TEST_CASE("predict_augmented is the weighted mean of plain and augmented predictions") {
  thaw::test::Bench bench;
  const at::Tensor plain = bench.learner->predict(bench.input).softmax(1);
  const auto same = [](const at::Tensor& x) { return x; };
  CHECK(at::allclose(thaw::predict_augmented(*bench.learner, bench.data(16), same), plain, 1e-12, 1e-12));

  double shift = 0;  // grows with each of the three batches of a pass
  const auto shifted = [&](const at::Tensor& x) { return x + (shift += 0.1); };
  at::Tensor expected = at::zeros_like(plain);
  double s = 0;
  for (int pass = 0; pass < 2; ++pass) {
    std::vector<at::Tensor> parts;
    for (const at::Tensor& batch : bench.input.split(16))
      parts.push_back(bench.learner->predict(batch + (s += 0.1)).softmax(1));
    expected = expected + at::cat(parts) / 2;
  }
  CHECK(at::allclose(thaw::predict_augmented(*bench.learner, bench.data(16), shifted, {.passes = 2, .beta = 0.4}),
                     0.4 * plain + 0.6 * expected, 1e-12, 1e-12));
}

TEST_CASE("predict_augmented refuses what makes no sense") {
  thaw::test::Bench bench;
  const auto same = [](const at::Tensor& x) { return x; };
  CHECK_THROWS_AS(thaw::predict_augmented(*bench.learner, bench.data(16), same, {.passes = 0}), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::predict_augmented(*bench.learner, bench.data(16), same, {.beta = 2}), thaw::ConfigError);
}
