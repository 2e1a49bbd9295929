#include <thaw/train/keep_best.hpp>

#include <ATen/ops/equal.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support/bench.hpp"
#include "support/nets.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::KeepBest;
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

TEST_CASE("a look at the weights before a stage changes nothing of how it trains") {
  Bench plain, kept;
  plain.learner->fit({.epochs = 2});
  kept.learner->fit({.epochs = 2}, KeepBest{});
  const auto &expected = plain.learner->history().epochs, &epochs = kept.learner->history().epochs;
  for (std::size_t i = 0; i < 2; ++i) CHECK(epochs[i].train_loss == expected[i].train_loss);
}

TEST_CASE("KeepBest needs something that it can compare") {
  Bench bench;
  CHECK_THROWS_MATCHES(bench.learner->fit({.epochs = 1}, KeepBest{"acuracy"}), thaw::ConfigError,
                       MessageMatches(ContainsSubstring("nothing is called \"acuracy\"")));
  CHECK_THROWS_MATCHES(bench.learner->fit({.epochs = 1}, KeepBest{"train_loss"}), thaw::ConfigError,
                       MessageMatches(ContainsSubstring("has no train_loss to compare with")));
}
