// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/report/top_losses.hpp>

#include <ATen/ops/cat.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/zeros.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support/bench.hpp"
#include "support/metrics.hpp"
#include "support/numbers.hpp"

using Catch::Matchers::WithinAbs;
using thaw::SampleLoss;
using thaw::top_losses;
using thaw::test::tensor_of;

namespace {

std::vector<std::int64_t> samples_in(const std::vector<SampleLoss>& losses) {
  std::vector<std::int64_t> samples;
  for (const SampleLoss& each : losses) samples.push_back(each.sample);
  return samples;
}

}  // namespace

TEST_CASE("top losses are -log of the target's probability, worst first, with what was predicted") {
  const auto fixture = thaw::test::json_fixture("report/classes.json")["one_class"];
  const at::Tensor output = tensor_of(fixture["output"]), target = tensor_of(fixture["target"]);
  const auto all = top_losses(output, target, thaw::cross_entropy, {.most = 100});
  REQUIRE(all.size() == 43);
  for (std::size_t i = 0; i < 43; ++i) {
    const auto sample = static_cast<std::size_t>(all[i].sample);
    CHECK((i == 0 || all[i].loss <= all[i - 1].loss));
    CHECK_THAT(all[i].loss, WithinAbs(fixture["losses"][sample].get<double>(), 1e-12));
    CHECK_THAT(all[i].probability, WithinAbs(fixture["probabilities"][sample].get<double>(), 1e-12));
    CHECK(all[i].predicted == output[all[i].sample].argmax().item<std::int64_t>());
    CHECK(all[i].actual == target[all[i].sample].item<std::int64_t>());
  }
  const auto expected = samples_in(all);
  CHECK(samples_in(top_losses(output, target, thaw::cross_entropy, {.most = 3})) ==
        std::vector(expected.begin(), expected.begin() + 3));
  CHECK(samples_in(top_losses(output, target, thaw::cross_entropy, {.most = 2, .largest = false})) ==
        std::vector{expected[42], expected[41]});
}

TEST_CASE("of a source that shuffles, samples are numbered as the source has them in order") {
  thaw::test::Bench bench({.norm = true});
  const thaw::InMemory source(
      {.input = bench.input, .target = bench.target, .batch_size = 16, .shuffle = true, .drop_last = true});
  const auto all = top_losses(*bench.learner, source, {.most = 40});
  REQUIRE(all.size() == 40);
  const auto expected =
      top_losses(bench.learner->predict(thaw::Fields(bench.input)), bench.target, thaw::cross_entropy, {.most = 40});
  CHECK(samples_in(all) == samples_in(expected));
  double sum = 0;
  for (std::size_t i = 0; i < 40; ++i) {
    CHECK_THAT(all[i].loss, WithinAbs(expected[i].loss, 1e-12));
    CHECK(all[i].actual == bench.target[all[i].sample].item<std::int64_t>());
    sum += all[i].loss;
  }
  CHECK_THAT(sum / 40, WithinAbs(bench.learner->validate(bench.data(8)).loss, 1e-12));
  CHECK_THROWS_WITH(top_losses(*bench.learner, thaw::DataSource()),
                    Catch::Matchers::ContainsSubstring("top_losses: the source is empty"));
}

TEST_CASE("of a source without an order no sample has a number, and top losses are refused") {
  thaw::test::Bench bench;
  CHECK_THROWS_WITH(top_losses(*bench.learner, thaw::test::WithoutOrder{bench.data(8)}),
                    Catch::Matchers::ContainsSubstring("cannot give every sample in an order of its own"));
}

TEST_CASE("a NaN is the largest loss, and equal losses stay in their order") {
  at::Tensor output = at::zeros({5, 2}, at::kDouble);
  output[3][0] = thaw::test::not_a_number;
  output[4][1] = 1;
  const at::Tensor target = at::zeros({5}, at::kLong);
  CHECK(samples_in(top_losses(output, target, thaw::cross_entropy)) == std::vector<std::int64_t>{3, 4, 0, 1, 2});
  CHECK(samples_in(top_losses(output, target, thaw::cross_entropy, {.largest = false})) ==
        std::vector<std::int64_t>{0, 1, 2, 4, 3});
}

TEST_CASE("a logit tells two classes apart; numbers and labels have no class") {
  const at::Tensor logit = at::tensor({2.0, -1.0}, at::kDouble).unsqueeze(1);
  const auto binary = top_losses(logit, at::tensor({0.0, 0.0}, at::kDouble).unsqueeze(1), thaw::bce_with_logits);
  REQUIRE(binary.size() == 2);
  CHECK(binary[0].predicted == 1);
  CHECK(binary[0].actual == 0);
  CHECK_THAT(binary[0].probability, WithinAbs(1 / (1 + std::exp(-2.0)), 1e-15));
  CHECK(binary[1].predicted == 0);
  CHECK_THAT(binary[1].probability, WithinAbs(1 / (1 + std::exp(-1.0)), 1e-15));

  const auto number = top_losses(logit, at::tensor({3.5, 1.0}, at::kDouble).unsqueeze(1), thaw::mse);
  CHECK(samples_in(number) == std::vector<std::int64_t>{1, 0});
  CHECK(number[0].loss == 4);
  CHECK(number[0].predicted == -1);
  CHECK(std::isnan(number[0].probability));
  const auto labels = top_losses(at::zeros({2, 3}), at::zeros({2, 3}), thaw::bce_with_logits);
  CHECK(labels[0].actual == -1);
}

TEST_CASE("a table of losses names classes where it knows them") {
  const std::vector<SampleLoss> losses{{.sample = 7, .loss = 1.5, .predicted = 0, .actual = 2, .probability = 0.913},
                                       {.sample = 9, .loss = 0.25}};
  const thaw::Table table = losses_table(losses, {"cat", "dog"});
  CHECK(table.rows[0] == std::vector<std::string>{"7", "cat", "2", "1.5000", "0.91"});
  CHECK(table.rows[1] == std::vector<std::string>{"9", "-", "-", "0.2500", "-"});
  CHECK_THROWS_AS(top_losses(at::zeros({1, 2}), at::zeros({1}, at::kLong), thaw::cross_entropy, {.most = -1}),
                  thaw::ConfigError);
  CHECK(top_losses(at::zeros({0, 2}), at::zeros({0}, at::kLong), thaw::cross_entropy).empty());
}
