// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/early_stop.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <string>
#include <thaw/train/metric_f_beta.hpp>
#include <vector>

#include "support/bench.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::EarlyStop;
using thaw::test::Bench;

TEST_CASE("EarlyStop ends a stage after so many epochs without a better value, and says why") {
  Bench bench;
  const thaw::EpochRecord last = bench.learner->fit({.epochs = 10, .lr = 0.0}, EarlyStop{.patience = 2});
  CHECK(last.epoch == 3);  // the first is the best, two are no better
  CHECK(bench.learner->history().epochs.size() == 3);
  CHECK_THAT(last.stop, ContainsSubstring("valid_loss has not become better than") && ContainsSubstring("2 epochs"));
  CHECK(bench.learner->history().epochs.back().stop == last.stop);
}

TEST_CASE("EarlyStop lets what improves go on, and starts afresh with each stage") {
  Bench bench;
  const EarlyStop stop{.patience = 1};
  const thaw::Stage learns{.epochs = 4, .lr = 0.05, .schedule = thaw::Constant{}};
  CHECK(bench.learner->fit(learns, stop).stop.empty());
  CHECK(bench.learner->fit(learns, stop).stop.empty());
  CHECK(bench.learner->history().epochs.size() == 8);
  // ... but not what improves by less than min_delta
  CHECK(bench.learner->fit(learns, EarlyStop{.monitor = {"valid_loss", thaw::Better::lower, 10.0}, .patience = 1})
            .epoch == 2);
}

TEST_CASE("a plan goes on with its next stage after one that was stopped") {
  Bench bench;
  const std::vector<thaw::Stage> plan{{.name = "still", .epochs = 9, .lr = 0.0}, {.name = "next", .epochs = 1}};
  bench.learner->fit(plan, EarlyStop{.patience = 1});
  REQUIRE(bench.learner->history().stages.size() == 2);
  CHECK(bench.learner->history().stages[0].steps == 10);
  CHECK(bench.learner->history().epochs.back().stop.empty());
}

TEST_CASE("a monitor that does not exist is refused before training, with the names that do") {
  Bench bench;
  CHECK_THROWS_MATCHES(bench.learner->fit({.epochs = 1}, EarlyStop{.monitor = "accuracy"}), thaw::ConfigError,
                       MessageMatches(ContainsSubstring("nothing is called \"accuracy\"") &&
                                      ContainsSubstring("train_loss, valid_loss")));
  CHECK_THROWS_MATCHES(Bench({.valid = false}).learner->fit({.epochs = 1}, EarlyStop{}), thaw::ConfigError,
                       MessageMatches(ContainsSubstring("no validation data")));
  CHECK_THROWS_AS(bench.learner->fit({.epochs = 1}, EarlyStop{.patience = 0}), thaw::ConfigError);
  CHECK(bench.learner->history().steps.empty());
}

TEST_CASE("a monitor knows which way is better") {
  CHECK(thaw::Monitor("valid_loss").lower_is_better());
  CHECK(thaw::Monitor("rmse").lower_is_better());
  CHECK_FALSE(thaw::Monitor("accuracy").lower_is_better());
  CHECK(thaw::Monitor("accuracy", thaw::Better::lower).lower_is_better());
  CHECK_FALSE(thaw::Monitor("valid_loss").improves(NAN, 1));
  const thaw::EpochRecord epoch{.train_loss = 3, .valid = thaw::Evaluation{.loss = 2, .metrics = {{"f1[1]", 0.5}}}};
  CHECK(thaw::Monitor("train_loss").value(epoch) == 3);
  CHECK(thaw::Monitor("valid_loss").value(epoch) == 2);
  CHECK(thaw::Monitor("f1[1]").value(epoch) == 0.5);
  CHECK_THROWS_AS(thaw::Monitor("f1[2]").value(epoch), thaw::ConfigError);
}

TEST_CASE("a monitor takes a class by its name or its number, and refuses a name that no class has") {
  const thaw::EpochRecord epoch{
      .valid = thaw::Evaluation{.metrics = {{"iou[1]", 0.25}, {"iou[cell]", 0.5}, {"f1[cell]", 0.75}}}};
  CHECK(thaw::Monitor("iou[cell]").value(epoch) == 0.5);
  CHECK(thaw::Monitor("iou[1]").value(epoch) == 0.25);  // a name before a number
  CHECK(thaw::Monitor("iou[0]").value(epoch) == 0.25);
  CHECK(thaw::Monitor("f1[0]").value(epoch) == 0.75);
  CHECK_THROWS_AS(thaw::Monitor("f1[1]").value(epoch), thaw::ConfigError);

  struct Named : thaw::InMemory {
    explicit Named(const thaw::InMemory& data) : InMemory(data) {}
    [[nodiscard]] std::vector<std::string> classes() const { return {"cell", "wall", "void"}; }
  };
  Bench bench;
  thaw::Learner learner(bench.net, thaw::LayerGroups::per_child(bench.net), thaw::cross_entropy,
                        {.train = Named(bench.data(8)),
                         .valid = Named(bench.data(16)),
                         .metrics = {thaw::f_beta({.average = thaw::Average::each})}});
  CHECK_THROWS_MATCHES(learner.fit({}, EarlyStop{.monitor = "f1[wal]"}), thaw::ConfigError,
                       MessageMatches(ContainsSubstring("no class is called \"wal\"") &&
                                      ContainsSubstring("watch one of: cell, wall, void")));
  learner.fit({}, EarlyStop{.monitor = "f1[wall]"});
  learner.fit({}, EarlyStop{.monitor = "f1[1]"});
  std::vector<std::string> names;
  for (const thaw::MetricValue& metric : learner.history().epochs.back().valid->metrics) names.push_back(metric.name);
  CHECK(names == std::vector<std::string>{"f1[cell]", "f1[wall]", "f1[void]"});
  CHECK(learner.validate().metrics[1].name == "f1[wall]");
}

TEST_CASE("a mean squared error is better when lower") {
  CHECK(thaw::Monitor("mse").lower_is_better());
  CHECK(thaw::Monitor("rmse").lower_is_better());
}

TEST_CASE("an epoch without validation has no number to watch but the training loss") {
  const thaw::EpochRecord epoch{.train_loss = 3};
  CHECK(std::isnan(thaw::Monitor("valid_loss").value(epoch)));
  CHECK(std::isnan(thaw::Monitor("accuracy").value(epoch)));
  CHECK(thaw::Monitor("train_loss").value(epoch) == 3);
}
