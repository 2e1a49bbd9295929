// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/keep_best.hpp>

#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros_like.h>
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <string>
#include <thaw/train/metric.hpp>
#include <vector>

#include "support/bench.hpp"
#include "support/nets.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::KeepBest;
using thaw::Learner;
using thaw::test::Bench;

namespace {

/// Two good epochs, then rates that ruin all.
const thaw::Stage good_then_ruined{.epochs = 4, .lr = 1.0, .schedule = [](double t) { return t < 0.5 ? 0.05 : 50.0; }};

}  // namespace

TEST_CASE("KeepBest ends a stage with its best epoch") {
  Bench bench;
  bench.learner->fit(good_then_ruined, KeepBest{});
  const auto& epochs = bench.learner->history().epochs;
  REQUIRE(epochs[1].valid->loss < epochs[0].valid->loss);
  REQUIRE(epochs[1].valid->loss < epochs[3].valid->loss);
  CHECK(bench.learner->validate().loss == epochs[1].valid->loss);
  CHECK(bench.learner->history().stages[0].notes ==
        std::vector{"kept: epoch 2, valid_loss " + thaw::detail::number(epochs[1].valid->loss)});
}

TEST_CASE("a stage of which every epoch is worse ends as it began, bit for bit") {
  Bench bench;
  bench.learner->fit(good_then_ruined, KeepBest{});
  const auto before = thaw::test::state_of(*bench.learner->groups().module());
  const double loss = bench.learner->validate().loss;
  bench.learner->fit({.epochs = 2, .lr = 50.0, .schedule = thaw::Constant{}}, KeepBest{});
  CHECK(bench.learner->history().epochs.back().valid->loss > loss);
  CHECK(thaw::test::same_state(before, *bench.learner->groups().module()));
}

TEST_CASE("a network whose outputs are no numbers is never the best, whatever its accuracy is") {
  Bench bench;
  const auto source = bench.data(16);
  const thaw::InMemory zeros({.input = bench.input, .target = at::zeros_like(bench.target), .batch_size = 16});
  Learner learner(bench.net, thaw::LayerGroups::cut_before(bench.net, {"body", "head"}), thaw::cross_entropy,
                  {.train = source, .valid = zeros, .metrics = {thaw::accuracy()}});
  const auto before = thaw::test::state_of(*bench.net);
  struct ToNaN {
    void on_loss_ready(const thaw::LossReady& event) const { event.loss = event.loss * NAN; }
  };
  learner.fit({.epochs = 2}, ToNaN{}, KeepBest{"accuracy"});
  const thaw::Evaluation& ruined = *learner.history().epochs.back().valid;
  REQUIRE(ruined.metrics[0].value == 1);  // the largest of three NaN is the first
  CHECK(std::isnan(thaw::Monitor{"accuracy"}.value({.valid = ruined})));
  CHECK(thaw::test::same_state(before, *bench.net));
}

TEST_CASE("a look at the weights before a stage changes nothing of how it trains") {
  Bench plain, kept;
  plain.learner->fit({.epochs = 2});
  kept.learner->fit({.epochs = 2}, KeepBest{});
  const auto &expected = plain.learner->history().epochs, &epochs = kept.learner->history().epochs;
  for (std::size_t i = 0; i < 2; ++i) CHECK(epochs[i].train_loss == expected[i].train_loss);
}

TEST_CASE("KeepBest tries the line from a stage's begin to its end, and keeps the best point") {
  Bench bench;
  const auto& module = *bench.learner->groups().module();
  const auto begin = thaw::test::state_of(module);
  // So high a rate that the end is worse than the begin, and a part of the way better than both.
  const thaw::Stage too_far{.epochs = 1, .lr = 3.0, .schedule = thaw::Constant{}};
  Bench same;
  same.learner->fit(too_far);
  const auto end = thaw::test::state_of(*same.learner->groups().module());

  std::vector<double> losses;
  for (const double t : {0.0, 0.25, 0.5, 0.75, 1.0}) {
    const c10::NoGradGuard no_grad;
    for (const auto& entry : same.learner->groups().module()->named_parameters())
      entry.value().copy_(begin.at(entry.key()).lerp(end.at(entry.key()), t));
    losses.push_back(same.learner->validate().loss);
  }
  const auto best = std::ranges::min_element(losses) - losses.begin();
  REQUIRE((best > 0 && best < 4));

  std::string what;
  double kept = 0;
  bench.learner->fit(too_far,
                     KeepBest{.line = 3, .on_kept = [&](const std::string& said, const thaw::Evaluation& valid) {
                                what = said;
                                kept = valid.loss;
                              }});
  CHECK(bench.learner->validate().loss == losses[static_cast<std::size_t>(best)]);
  CHECK(kept == losses[static_cast<std::size_t>(best)]);
  CHECK(what == thaw::detail::number(0.25 * static_cast<double>(best)) + " of the way from its begin to its end");
}

TEST_CASE("of equal values KeepBest takes the one with the lower loss") {
  Bench bench;
  const thaw::Metric always{.name = "always",
                            .observe = [](const at::Tensor&, const at::Tensor&) { return at::ones({2}); },
                            .value = thaw::detail::ratio,
                            .better = thaw::Better::higher};
  Learner learner(bench.net, thaw::LayerGroups::cut_before(bench.net, {"body", "head"}), thaw::cross_entropy,
                  {.train = bench.data(8), .valid = bench.data(16), .metrics = {always}});
  const double before = learner.validate().loss;
  learner.fit({.epochs = 3, .lr = 1e-2}, KeepBest{"always"});
  double lowest = before;
  for (const thaw::EpochRecord& epoch : learner.history().epochs) lowest = std::min(lowest, epoch.valid->loss);
  REQUIRE(lowest < before);
  CHECK(learner.validate().loss == lowest);
}

TEST_CASE("KeepBest needs something that it can compare") {
  Bench bench;
  CHECK_THROWS_MATCHES(bench.learner->fit({.epochs = 1}, KeepBest{"acuracy"}), thaw::ConfigError,
                       MessageMatches(ContainsSubstring("nothing is called \"acuracy\"")));
  CHECK_THROWS_MATCHES(bench.learner->fit({.epochs = 1}, KeepBest{"train_loss"}), thaw::ConfigError,
                       MessageMatches(ContainsSubstring("has no train_loss to compare with")));
  CHECK_THROWS_MATCHES(bench.learner->fit({.epochs = 1}, KeepBest{.line = -1}), thaw::ConfigError,
                       MessageMatches(ContainsSubstring("line is -1")));
}
