// SPDX-License-Identifier: BSD-3-Clause
// The history keeps a bounded number of steps, and says truly which.

#include <thaw/train/history.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <cmath>
#include <string>
#include <thaw/groups/gradual_unfreeze.hpp>
#include <vector>

#include "support/bench.hpp"

using thaw::History;
using thaw::test::Bench;

TEST_CASE("a history that is full drops every second step, and finds those that it kept") {
  const std::size_t most = GENERATE(0, 2, 3, 7, 64);
  History history{.max_recorded_steps = most};
  for (std::int64_t step = 0; step < 1000; ++step) {
    history.add({.lr = {static_cast<double>(step)}});
    REQUIRE(history.steps_done == step + 1);
    REQUIRE(history.steps.size() <= std::max<std::size_t>(most, 2));
    REQUIRE(std::ssize(history.steps) == (step + history.every) / history.every);
    for (std::size_t i = 0; i < history.steps.size(); ++i)
      REQUIRE(history.steps[i].lr[0] == static_cast<double>(i) * static_cast<double>(history.every));
  }
  CHECK(history.every >= 1000 / static_cast<std::int64_t>(std::max<std::size_t>(most, 2)));
  CHECK(history.find(0) == history.steps.data());
  CHECK(history.find(history.every) == &history.steps.at(1));
  CHECK(history.find(1) == nullptr);
  CHECK(history.find(-1) == nullptr);
  CHECK(history.find(1000 * history.every) == nullptr);
}

TEST_CASE("the records say how fast a stage was to be, why, and in which epochs only norm layers trained") {
  Bench bench({.norm = true});
  struct Noting {
    void on_epoch_end(const thaw::EpochEnd& event) const { event.learner.note("after an epoch"); }
  };
  bench.learner->fit({.epochs = 2,
                      .freeze = thaw::GradualUnfreeze{.every = thaw::Epochs{1}},
                      .lr = thaw::DiscriminativeLR::each({1e-4, 1e-3, 1e-2}),
                      .norm = {.frozen = thaw::Norm::train},
                      .why = {"as an experiment"}},
                     Noting{});
  const History& history = bench.learner->history();
  CHECK(history.stages[0].lr == std::vector{1e-4, 1e-3, 1e-2});
  CHECK(history.stages[0].notes == std::vector<std::string>{"as an experiment", "after an epoch", "after an epoch"});
  CHECK(history.epochs[0].norms_only == std::vector{true, true, false});
  CHECK(history.epochs[1].norms_only == std::vector{true, false, false});
  CHECK_THROWS_AS(bench.learner->note("between two fits"), thaw::ConfigError);

  Bench without;  // of a frozen group without norm layers nothing trains, whatever the rule says
  without.learner->fit({.freeze = thaw::FreezeTo{-1}, .norm = {.frozen = thaw::Norm::train}});
  CHECK(without.learner->history().steps[0].lr[0] == 0);
  CHECK(without.learner->history().epochs[0].norms_only == std::vector{false, false, false});
}

TEST_CASE("a Learner that keeps few steps trains as one that keeps all, and has the same records of those") {
  const auto run = [](std::size_t most) {
    Bench bench;
    thaw::LearnerOptions options{.train = bench.data(8), .valid = bench.data(16), .max_recorded_steps = most};
    thaw::Learner learner(bench.net, thaw::LayerGroups::per_child(bench.net), thaw::cross_entropy, options);
    learner.fit({.name = "head", .epochs = 5, .freeze = thaw::FreezeTo{-1}, .lr = 1e-2});
    learner.fit(
        {.name = "all", .epochs = 6, .freeze = thaw::Unfrozen{}, .lr = thaw::DiscriminativeLR::slice(1e-3, 1e-2)});
    return learner.history();
  };
  const History all = run(65'536), few = run(16);
  REQUIRE(all.steps.size() == 55);
  REQUIRE(few.every == 4);
  REQUIRE(few.steps.size() == 14);
  CHECK(few.steps_done == 55);
  for (std::size_t i = 0; i < few.steps.size(); ++i) {
    CHECK(few.steps[i].lr == all.steps[4 * i].lr);
    CHECK(few.steps[i].momentum == all.steps[4 * i].momentum);
    CHECK(few.steps[i].loss == all.steps[4 * i].loss);
  }
  REQUIRE(few.epochs.size() == 11);
  for (std::size_t i = 0; i < 11; ++i) {
    CHECK(few.epochs[i].train_loss == all.epochs[i].train_loss);
    CHECK(few.epochs[i].steps_done == all.epochs[i].steps_done);
    CHECK(few.epochs[i].lr == all.steps.at(static_cast<std::size_t>(all.epochs[i].steps_done - 1)).lr);
  }
  CHECK(few.stages.at(1).first_step == 25);
  CHECK(few.stages.at(1).steps == 30);
}

TEST_CASE("the mean loss of an epoch is that of all its steps, however many") {
  Bench bench({.samples = 2500});
  thaw::Learner learner(bench.net, thaw::LayerGroups::per_child(bench.net), thaw::cross_entropy,
                        {.train = bench.data(1)});
  const thaw::EpochRecord record = learner.fit({.epochs = 1, .lr = 1e-3});
  double sum = 0;
  for (const thaw::StepRecord& step : learner.history().steps) sum += step.loss;
  REQUIRE(learner.history().steps.size() == 2500);
  CHECK_THAT(record.train_loss, Catch::Matchers::WithinRel(sum / 2500, 1e-12));
}
