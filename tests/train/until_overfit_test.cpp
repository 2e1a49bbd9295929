#include <thaw/train/until_overfit.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support/bench.hpp"

using Catch::Matchers::ContainsSubstring;

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
}

TEST_CASE("it wants validation data, and rounds") {
  CHECK_THROWS_AS(thaw::test::Bench({.valid = false}).learner->fit_until_overfit(), thaw::DataError);
  CHECK_THROWS_AS(thaw::test::Bench().learner->fit_until_overfit({.max_rounds = 0}), thaw::ConfigError);
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
