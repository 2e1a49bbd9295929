// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/until_overfit.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <limits>
#include <memory>
#include <string>

#include "support/bench.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

/// Ten samples whose labels are noise: a net can learn them by heart, which helps nowhere else.
std::unique_ptr<thaw::Learner> doomed(thaw::test::TinyNet net) {
  at::manual_seed(5);
  const auto noise = [](std::int64_t n) {
    return thaw::InMemory({.input = at::randn({n, 4}), .target = at::randint(3, {n}, at::kLong), .batch_size = 5});
  };
  return std::make_unique<thaw::Learner>(net, thaw::LayerGroups::cut_before(net, {"head"}), thaw::cross_entropy,
                                         thaw::LearnerOptions{.train = noise(10), .valid = noise(40)});
}

}  // namespace

TEST_CASE("it stops once the net overfits, says so, and goes back to the best round") {
  const thaw::test::TinyNet net(3, /*norm=*/false);
  const auto learner = doomed(net);
  learner->freeze();
  const thaw::UntilOverfitResult result =
      learner->fit_until_overfit({.epochs = 20, .max_rounds = 30, .patience = 2, .lr_mult = 2});
  REQUIRE(result.rounds.size() < 30);
  const auto& last = result.rounds.back().last;
  CHECK(last.train_loss < last.valid->loss);
  CHECK(result.best + 3 <= result.rounds.size());
  CHECK_THAT(result.stop, ContainsSubstring("is below validation loss") &&
                              ContainsSubstring("lowest in round " + std::to_string(result.best + 1)));
  for (const thaw::OverfitRound& round : result.rounds) {
    CHECK(round.last.valid->loss >= result.rounds[result.best].last.valid->loss);
    CHECK((round.lr > 0 && round.lr <= 1e-2));
    CHECK((round.lr < 1e-2 ? round.rate_from == "valley" : round.rate_from.starts_with("max_lr (valley: ")));
  }
  CHECK(learner->validate().loss == result.rounds[result.best].last.valid->loss);
  CHECK(learner->groups().frozen() == std::vector{false, false});
  CHECK(learner->history().stages.size() == result.rounds.size());
}

TEST_CASE("it says when the rounds are used up") {
  thaw::test::Bench bench;
  const auto result = bench.learner->fit_until_overfit({.max_rounds = 2});
  CHECK(result.rounds.size() == 2);
  CHECK_THAT(result.stop, ContainsSubstring("all 2 rounds are done"));
  // the same samples on both sides, seen again after the last step
  REQUIRE(result.rounds[1].last.train_loss >= result.rounds[1].last.valid->loss);
  CHECK_THAT(result.stop,
             ContainsSubstring("is not below validation loss") && ContainsSubstring("does not overfit yet"));
}

TEST_CASE("where the rounds are used up by a net that overfits already, it says that") {
  const auto learner = doomed(thaw::test::TinyNet(3, /*norm=*/false));
  const auto result = learner->fit_until_overfit({.epochs = 60, .max_rounds = 2, .patience = 5, .lr_mult = 2});
  const auto& last = result.rounds.back().last;
  REQUIRE(last.train_loss < last.valid->loss);
  CHECK_THAT(result.stop, ContainsSubstring("all 2 rounds are done; training loss") &&
                              ContainsSubstring("is below validation loss") &&
                              ContainsSubstring("lowest in round " + std::to_string(result.best + 1)) &&
                              !ContainsSubstring("does not overfit"));
  CHECK(result.rounds[result.best].last.stage == "round " + std::to_string(result.best + 1));
}

TEST_CASE("the finder is as it is given, but for the rates, which are lr_mult's") {
  thaw::test::Bench bench;
  const auto result = bench.learner->fit_until_overfit({.max_rounds = 2, .finder = {.end_lr = 1, .steps = 12}});
  CHECK(result.rounds.size() == 2);
  REQUIRE(bench.learner->lr_curves().size() == 2);
  CHECK(bench.learner->lr_curves()[1].planned == 12);
  CHECK(bench.learner->history().steps.size() == 10);

  const auto suggested = [](const thaw::UntilOverfit& how) {
    return thaw::test::Bench().learner->fit_until_overfit(how).rounds.at(0);
  };
  const thaw::OverfitRound valley = suggested({.max_rounds = 1, .max_lr = 100});
  const thaw::OverfitRound steep = suggested({.max_rounds = 1, .suggestion = "steep", .max_lr = 100});
  CHECK(valley.rate_from == "valley");
  CHECK(steep.rate_from == "steep");
  CHECK(valley.lr != steep.lr);
  const thaw::OverfitRound limited = suggested({.max_rounds = 1, .max_lr = 1e-6});
  CHECK(limited.lr == 1e-6);
  CHECK(limited.rate_from == "max_lr (valley: " + thaw::detail::number(valley.lr) + ")");
}

TEST_CASE("a finder that suggests nothing: an error in the first round, later the rate of the round before") {
  thaw::test::Bench wild;
  CHECK_THROWS_MATCHES(wild.learner->fit_until_overfit({.finder = {.start_lr = 1e6, .end_lr = 1e7}}), thaw::ConfigError,
                       MessageMatches(ContainsSubstring("the finder gives no \"valley\": its sweep ended after") &&
                                      ContainsSubstring("of 100 steps") && ContainsSubstring("smaller start_lr")));
  CHECK(wild.learner->history().epochs.empty());

  struct Between {  // the first loss of the second sweep is NaN
    std::shared_ptr<bool> spoiled;
    void on_epoch_begin(const thaw::EpochBegin&) const { *spoiled = false; }
    void on_epoch_end(const thaw::EpochEnd&) const { *spoiled = true; }
  };
  const auto spoiled = std::make_shared<bool>(false);
  const thaw::test::Bench bench;
  thaw::Learner learner(bench.net, thaw::LayerGroups::cut_before(bench.net, {"head"}),
                        [spoiled](const at::Tensor& output, const at::Tensor& target) {
                          return thaw::cross_entropy(output, target) *
                                 (*spoiled ? std::numeric_limits<double>::quiet_NaN() : 1.);
                        },
                        {.train = bench.data(8), .valid = bench.data(16), .callbacks = {Between{spoiled}}});
  const thaw::UntilOverfitResult result = learner.fit_until_overfit({.max_rounds = 2});
  REQUIRE(result.rounds.size() == 2);
  CHECK(result.rounds[1].rate_from == "round 1");
  CHECK(result.rounds[1].lr == result.rounds[0].lr);
}

TEST_CASE("it wants validation data, rounds, and a suggestion that there is") {
  CHECK_THROWS_AS(thaw::test::Bench({.valid = false}).learner->fit_until_overfit(), thaw::DataError);
  CHECK_THROWS_AS(thaw::test::Bench().learner->fit_until_overfit({.max_rounds = 0}), thaw::ConfigError);
  const auto refused = [](const thaw::UntilOverfit& how, const std::string& what, const std::string& fix) {
    const thaw::test::Bench bench;
    CHECK_THROWS_MATCHES(bench.learner->fit_until_overfit(how), thaw::ConfigError,
                         MessageMatches(ContainsSubstring(what) && ContainsSubstring(fix)));
    CHECK(bench.learner->lr_curves().empty());
  };
  refused({.suggestion = "vally"}, "there is no suggestion \"vally\"", "did you mean \"valley\"?");
  refused({.finder = {.steps = 1}}, "1 steps", "at least 2");
  refused({.max_lr = 0}, "max_lr is 0", "more than 0");
  refused({.lr_mult = -1}, "lr_mult -1", "more than 0");
}

TEST_CASE("a callback that stops a round ends the search, and its reason is the search's") {
  struct Stop {
    void on_epoch_end(const thaw::EpochEnd& event) const {
      if (event.record.stage == "round 2") event.learner.stop("out of time");
    }
  };
  thaw::test::Bench bench;
  thaw::Learner learner(bench.net, thaw::LayerGroups::cut_before(bench.net, {"head"}), thaw::cross_entropy,
                        {.train = bench.data(8), .valid = bench.data(16), .callbacks = {Stop{}}});
  const thaw::UntilOverfitResult result = learner.fit_until_overfit({.epochs = 3, .max_rounds = 5});
  CHECK(result.stop == "out of time");
  CHECK(result.rounds.size() == 2);
  CHECK(learner.history().epochs.size() == 4);
}
