// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/test_time_augmentation.hpp>

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros_like.h>
#include <catch2/catch_test_macros.hpp>
#include <thaw/data/in_memory.hpp>
#include <vector>

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

TEST_CASE("predict_augmented over a source that augments by itself: its passes, in the order of its samples") {
  thaw::test::Bench bench;
  const at::Tensor same_for_all = bench.input;
  const auto source = [&](bool augmented, std::int64_t samples) {
    return thaw::InMemory({.input = same_for_all.slice(0, 0, samples),
                           .target = bench.target.slice(0, 0, samples),
                           .batch_size = 7,
                           .shuffle = true,
                           .drop_last = true,
                           .transform = [augmented](const at::Tensor& x, at::Generator random) {
                             return augmented ? x + at::randn(x.sizes(), random, x.options()) : x;
                           }});
  };
  const thaw::InMemory plain = source(false, 16), augmented = source(true, 16);
  at::Tensor expected = at::zeros_like(bench.learner->predict(bench.input.slice(0, 0, 16)));
  for (std::int64_t pass = 0; pass < 3; ++pass) {
    std::vector<at::Tensor> parts;
    for (auto next = augmented.in_order(pass); const auto batch = next();)
      parts.push_back(bench.learner->predict(batch->input).softmax(1));
    expected += at::cat(parts) / 3;
  }
  expected = 0.25 * bench.learner->predict(bench.input.slice(0, 0, 16)).softmax(1) + 0.75 * expected;
  CHECK(at::allclose(thaw::predict_augmented(*bench.learner, thaw::DataSource(plain), augmented, {.passes = 3}),
                     expected, 1e-12, 1e-12));
  CHECK_THROWS_AS(thaw::predict_augmented(*bench.learner, thaw::DataSource(plain), source(true, 15)), thaw::DataError);
  const std::vector<thaw::Batch> unnumbered{{bench.input, bench.target}};
  CHECK_THROWS_AS(thaw::predict_augmented(*bench.learner, thaw::DataSource(plain), thaw::DataSource(unnumbered)),
                  thaw::ConfigError);
}

TEST_CASE("predict_augmented gives all rows in the source's own order, and refuses a source without one") {
  thaw::test::Bench bench;
  const auto same = [](const at::Tensor& x) { return x; };
  const thaw::InMemory shuffled(
      {.input = bench.input, .target = bench.target, .batch_size = 16, .shuffle = true, .drop_last = true});
  const at::Tensor plain = bench.learner->predict(bench.input).softmax(1);
  CHECK(at::allclose(thaw::predict_augmented(*bench.learner, shuffled, same), plain, 1e-12, 1e-12));
  CHECK_THROWS_AS(thaw::predict_augmented(*bench.learner, thaw::test::WithoutOrder{shuffled}, same), thaw::ConfigError);
}
