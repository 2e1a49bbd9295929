// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/reduce_on_plateau.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>

#include "support/bench.hpp"
#include "support/data.hpp"
#include "support/idle_learner.hpp"

using Catch::Matchers::WithinRel;
using thaw::ReduceOnPlateau;

TEST_CASE("ReduceOnPlateau scales rates when torch's ReduceLROnPlateau does") {
  const auto fixture = thaw::test::json_fixture("train/plateau.json");
  for (const auto& run : fixture["runs"]) {
    CAPTURE(run.dump());
    ReduceOnPlateau callback{
        .monitor = {"valid_loss", run["mode"] == "min" ? thaw::Better::lower : thaw::Better::higher,
                    run["threshold"].get<double>()},
        .factor = run["factor"].get<double>(),
        .patience = run["patience"].get<std::int64_t>(),
        .cooldown = run["cooldown"].get<std::int64_t>(),
        .min_scale = run["min_lr"].get<double>()};
    const auto learner = thaw::test::idle_learner();
    ReduceOnPlateau::State now;
    callback.on_stage_begin({.learner = *learner, .stage = "", .epochs = 1, .steps_per_epoch = 1, .groups = {}}, now);
    for (std::size_t i = 0; i < run["values"].size(); ++i) {
      const thaw::EpochRecord record{.valid = thaw::Evaluation{.loss = run["values"][i].get<double>()}};
      callback.on_epoch_end({.learner = *learner, .record = record}, now);
      CHECK_THAT(learner->lr_scale(), WithinRel(run["lr"][i].get<double>(), 1e-12));
    }
  }
}

TEST_CASE("the scaled rates are used, recorded, and gone with the stage") {
  thaw::test::Bench bench;
  bench.learner->fit(
      {.epochs = 3, .lr = 1e-12, .schedule = thaw::Constant{}},
      ReduceOnPlateau{.monitor = {"valid_loss", thaw::Better::lower, 1.0}, .factor = 0.5, .patience = 0});
  const auto& steps = bench.learner->history().steps;
  CHECK(steps.front().lr[0] == 1e-12);
  CHECK(steps.back().lr[0] == 5e-13);
  CHECK(thaw::OptimizerGroups(bench.learner->optimizer(), bench.learner->groups()).lr()[0] == 5e-13);
  bench.learner->fit({.epochs = 1, .lr = 1e-12, .schedule = thaw::Constant{}});
  CHECK(bench.learner->history().steps.back().lr[0] == 1e-12);
}

TEST_CASE("ReduceOnPlateau refuses factors and epochs that make no sense") {
  thaw::test::Bench bench;
  CHECK_THROWS_AS(bench.learner->fit({}, ReduceOnPlateau{.factor = 2}), thaw::ConfigError);
  CHECK_THROWS_AS(bench.learner->fit({}, ReduceOnPlateau{.patience = -1}), thaw::ConfigError);
}
