// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/plan.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <thaw/groups/gradual_unfreeze.hpp>
#include <thaw/train/gradient_accumulation.hpp>

#include "support/bench.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::DiscriminativeLR;
using thaw::test::Bench;

TEST_CASE("describe says per stage what trains, from when, at which rates, for how many steps, and changes nothing") {
  Bench bench({.norm = true});
  const auto before = thaw::test::state_of(*bench.net);
  const at::Tensor random = at::globalContext().defaultGenerator(at::kCPU).get_state();
  bench.net->train();
  const std::vector<thaw::Stage> plan{{.name = "head", .epochs = 2, .freeze = thaw::FreezeTo{-1}, .lr = 1e-2},
                                      {.name = "gradual",
                                       .epochs = 3,
                                       .freeze = thaw::GradualUnfreeze{.every = thaw::Epochs{1}},
                                       .lr = DiscriminativeLR::slice(1e-4, 1e-2)},
                                      {.name = "same", .epochs = 1, .lr = 1e-3, .schedule = thaw::Constant{}}};
  const auto described = bench.learner->describe(plan, thaw::GradientAccumulation{2});
  REQUIRE(described.size() == 3);
  CHECK(described[0].name == "head");
  CHECK(described[0].steps_per_epoch == 3);  // five batches, two per step
  CHECK(described[0].steps() == 6);
  CHECK(described[0].groups[0].trained == 0);
  CHECK(described[0].groups[0].first_step == -1);
  CHECK(described[0].groups[0].lr == 0);
  CHECK(described[0].groups[2].trained == 18);
  CHECK(described[0].groups[2].lr == 1e-2);
  CHECK(described[1].groups[0].first_step == 6);
  CHECK(described[1].groups[1].first_step == 3);
  CHECK(described[1].groups[2].first_step == 0);
  CHECK(described[1].groups[0].trained == described[1].groups[0].parameters);
  CHECK(described[1].groups[0].lr == 1e-4);
  CHECK(described[2].groups[0].first_step == 0);  // as the stage before left it

  const auto rates = [&](std::size_t stage, std::size_t group) {
    const thaw::RateSpan& span = described[stage].rates[group];
    return std::vector{span.first, span.highest, span.last};
  };
  const thaw::OneCycle one_cycle;
  CHECK(rates(0, 0) == std::vector{0., 0., 0.});
  CHECK(rates(0, 2) == std::vector{1e-2 * one_cycle(0).lr, 1e-2 * one_cycle(2. / 6).lr, 1e-2 * one_cycle(5. / 6).lr});
  CHECK(rates(1, 0) ==
        std::vector{1e-4 * one_cycle(6. / 9).lr, 1e-4 * one_cycle(6. / 9).lr, 1e-4 * one_cycle(8. / 9).lr});
  CHECK(rates(2, 1) == std::vector{1e-3, 1e-3, 1e-3});
  REQUIRE(described[0].momentum.has_value());
  CHECK(described[0].momentum->highest == 0.95);
  CHECK(described[0].momentum->lowest == one_cycle(2. / 6).momentum);
  CHECK_FALSE(described[2].momentum.has_value());
  CHECK(described[1].schedule({.step = 3, .steps = 9}).lr == one_cycle(3. / 9).lr);
  const auto frozen = [&](std::size_t stage) {
    std::vector<std::pair<std::int64_t, std::vector<bool>>> changes;
    for (const auto& each : described[stage].frozen) changes.emplace_back(each.step, each.frozen);
    return changes;
  };
  using Changes = std::vector<std::pair<std::int64_t, std::vector<bool>>>;
  CHECK(frozen(0) == Changes{{0, {true, true, false}}});
  CHECK(frozen(1) == Changes{{0, {true, true, false}}, {3, {true, false, false}}, {6, {false, false, false}}});
  CHECK(frozen(2) == Changes{{0, {false, false, false}}});

  CHECK(thaw::test::same_state(before, *bench.net));
  CHECK(bench.net->stem->is_training());
  CHECK(bench.learner->groups().frozen() == std::vector{false, false, false});
  CHECK(at::equal(at::globalContext().defaultGenerator(at::kCPU).get_state(), random));
}

TEST_CASE("a group counts as frozen where nothing of it trains: not where its norm layers do") {
  Bench bench({.norm = true});
  const thaw::NormRule train{.frozen = thaw::Norm::train};
  CHECK(bench.learner->describe({{.freeze = thaw::FreezeTo{-1}}})[0].frozen[0].frozen ==
        std::vector{true, true, false});
  CHECK(bench.learner->describe({{.freeze = thaw::FreezeTo{-1}, .norm = train}})[0].frozen[0].frozen ==
        std::vector{false, false, false});
}

TEST_CASE("describe says where only norm layers train, and from when on all of a group does") {
  Bench bench({.norm = true});
  const auto stage = bench.learner->describe({{.epochs = 2,
                                               .freeze = thaw::GradualUnfreeze{.every = thaw::Epochs{1}},
                                               .norm = {.frozen = thaw::Norm::train}}})[0];
  REQUIRE(stage.frozen_but_norms.size() == 2);
  CHECK(stage.frozen_but_norms[0].frozen == std::vector{true, true, false});
  CHECK((stage.frozen_but_norms[1].step == 5 && stage.frozen_but_norms[1].frozen == std::vector{true, false, false}));
  CHECK((stage.groups[0].thawed_step == -1 && stage.groups[1].thawed_step == 5 && stage.groups[2].thawed_step == 0));
  const auto held = bench.learner->describe({{.freeze = thaw::FreezeTo{-1}}})[0];
  CHECK(held.frozen_but_norms[0].frozen == std::vector{false, false, false});
}

TEST_CASE("a plan is refused as a whole, before its first stage trains") {
  Bench bench;
  const auto refuses = [&](thaw::Stage second, const std::string& why) {
    const std::vector<thaw::Stage> plan{{.name = "good"}, second};
    CHECK_THROWS_MATCHES(bench.learner->fit(plan), thaw::ConfigError, MessageMatches(ContainsSubstring(why)));
    CHECK_THROWS_MATCHES(bench.learner->describe(plan), thaw::ConfigError, MessageMatches(ContainsSubstring(why)));
  };
  refuses({.name = "bad", .lr = DiscriminativeLR::each({1e-3, 1e-3})}, "2 rates for 3 layer groups");
  refuses({.name = "bad", .freeze = thaw::FreezeTo{7}}, "FreezeTo{7}");
  refuses({.name = "bad", .epochs = 0}, "stage \"bad\"");
  refuses({.name = "bad",
           .epochs = 2,
           .freeze = [](const thaw::GroupRef&, const thaw::Progress& at) { return at.epoch() == 1; }},
          "every parameter is frozen at step 5");
  CHECK_THROWS_AS(bench.learner->fit(std::vector<thaw::Stage>{}), thaw::ConfigError);
  CHECK(bench.learner->history().steps.empty());
}

TEST_CASE("what looks wrong about norm layers is noted, and only that") {
  Bench bench({.norm = true});
  const auto notes = [&](const thaw::Stage& stage) { return bench.learner->describe({stage})[0].notes; };
  // 5 steps at a momentum of .1 leave .59 of the old statistics
  const auto slow = notes({.epochs = 1, .freeze = thaw::Unfrozen{}});
  REQUIRE(slow.size() == 2);
  CHECK_THAT(slow[0],
             ContainsSubstring("\"stem\"") && ContainsSubstring("0.1 keeps 59 %") && ContainsSubstring("hold"));
  CHECK(notes({.epochs = 5, .freeze = thaw::Unfrozen{}}).empty());
  // held at statistics that a fresh net has
  const auto untaught = notes({.epochs = 5, .freeze = thaw::Unfrozen{}, .norm = thaw::hold_everywhere});
  REQUIRE(untaught.size() == 2);
  CHECK_THAT(untaught[1], ContainsSubstring("\"body\"") && ContainsSubstring("never learnt"));
  bench.net->train();
  bench.net->forward(bench.input);
  CHECK(notes({.epochs = 5, .freeze = thaw::Unfrozen{}, .norm = thaw::hold_everywhere}).empty());
}
