#include <thaw/train/test_time_augmentation.hpp>

#include <catch2/catch_test_macros.hpp>

#include "support/bench.hpp"

TEST_CASE("predict_augmented is the weighted mean of plain and augmented predictions") {
  thaw::test::Bench bench;
  const at::Tensor plain = bench.learner->predict(bench.input).softmax(1);
  const auto same = [](const at::Tensor& x) { return x; };
  CHECK(at::allclose(thaw::predict_augmented(*bench.learner, bench.data(16), same), plain, 1e-12, 1e-12));

  double shift = 0;  // grows with each call: twice per batch
  const auto shifted = [&](const at::Tensor& x) { return x + (shift += 0.1); };
  at::Tensor expected = at::zeros_like(plain);
  double s = 0;
  std::vector<at::Tensor> parts;
  for (const at::Tensor& batch : bench.input.split(16)) {
    const at::Tensor once = bench.learner->predict(batch + (s += 0.1)).softmax(1);
    parts.push_back((once + bench.learner->predict(batch + (s += 0.1)).softmax(1)) / 2);
  }
  expected = at::cat(parts);
  CHECK(at::allclose(thaw::predict_augmented(*bench.learner, bench.data(16), shifted, {.passes = 2, .beta = 0.4}),
                     0.4 * plain + 0.6 * expected, 1e-12, 1e-12));
}

TEST_CASE("predict_augmented refuses what makes no sense") {
  thaw::test::Bench bench;
  const auto same = [](const at::Tensor& x) { return x; };
  CHECK_THROWS_AS(thaw::predict_augmented(*bench.learner, bench.data(16), same, {.passes = 0}), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::predict_augmented(*bench.learner, bench.data(16), same, {.beta = 2}), thaw::ConfigError);
}

TEST_CASE("predict_augmented takes a source that gives its samples in another order each time") {
  thaw::test::Bench bench;
  struct Restless {
    at::Tensor input, target;
    std::shared_ptr<std::int64_t> passes = std::make_shared<std::int64_t>(0);
    [[nodiscard]] std::int64_t batches() const { return 1; }
    [[nodiscard]] thaw::BatchStream stream(std::int64_t) const {
      const at::Tensor rolled = input.roll(++*passes, 0);
      return [rolled, t = target, given = false]() mutable -> std::optional<thaw::Batch> {
        if (std::exchange(given, true)) return {};
        return thaw::Batch{.input = rolled, .target = t};
      };
    }
  };
  const auto same = [](const at::Tensor& x) { return x; };
  const at::Tensor plain = bench.learner->predict(bench.input.roll(1, 0)).softmax(1);
  CHECK(at::allclose(thaw::predict_augmented(*bench.learner, Restless{bench.input, bench.target}, same), plain, 1e-12,
                     1e-12));
  CHECK_THROWS_AS(thaw::predict_augmented(*bench.learner, {}, same), thaw::DataError);
  CHECK_THROWS_AS(bench.learner->predict(thaw::DataSource()), thaw::DataError);
}
