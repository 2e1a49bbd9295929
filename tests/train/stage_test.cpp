// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/stage.hpp>

#include <torch/data/dataloader.h>
#include <torch/data/datasets/map.h>
#include <torch/data/samplers/random.h>
#include <torch/data/transforms/stack.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adamw.h>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <thaw/report/plan_table.hpp>
#include <thaw/schedule/decay.hpp>
#include <thaw/train/gradient_accumulation.hpp>
#include <thaw/train/save_best.hpp>
#include <utility>
#include <vector>

#include "support/bench.hpp"
#include "support/folder.hpp"
#include "support/samples.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::DataSource;
using thaw::Stage;
using thaw::test::Bench;
using thaw::test::same_state;
using thaw::test::state_of;

namespace {

/// The inputs of every batch, in order.
struct Order {
  std::vector<at::Tensor> seen = {};
  void on_batch_ready(const thaw::BatchReady& event) { seen.push_back(event.batch.input[0].clone()); }
};

using Options = std::vector<double>;

/// The weight decay of each optimizer group.
Options decays_of(const torch::optim::Optimizer& optimizer) {
  Options found;
  for (const auto& group : optimizer.param_groups()) found.push_back(thaw::read_weight_decay(group.options()).value());
  return found;
}

/// What each step was taken with.
struct Decays {
  std::vector<Options> seen = {};
  void on_step_end(const thaw::StepEnd& event) { seen.push_back(decays_of(event.learner.optimizer())); }
};

/// The Bench's network and data with an optimizer of one's own.
std::unique_ptr<thaw::Learner> learner_with(
    Bench& bench, std::function<std::unique_ptr<torch::optim::Optimizer>(const thaw::LayerGroups&)> optimizer) {
  return std::make_unique<thaw::Learner>(
      bench.net, thaw::LayerGroups::cut_before(bench.net, {"body", "head"}), thaw::cross_entropy,
      thaw::LearnerOptions{.train = bench.data(8), .valid = bench.data(16), .optimizer = std::move(optimizer)});
}

std::unique_ptr<torch::optim::Optimizer> adamw(const thaw::LayerGroups& groups, double decay) {
  return std::make_unique<thaw::AdamW>(groups, torch::optim::AdamWOptions(1e-2).weight_decay(decay));
}

}  // namespace

TEST_CASE("a plan is an ordinary vector of stages, policies and lambdas mixed") {
  const std::vector<thaw::Stage> plan{{.name = "head", .freeze = thaw::FreezeTo{-1}, .lr = 2e-3},
                                      {.name = "all",
                                       .epochs = 3,
                                       .freeze = thaw::Unfrozen{},
                                       .lr = thaw::DiscriminativeLR::slice(1e-6, 1e-4),
                                       .schedule = [](double t) { return 1 - t; },
                                       .norm = thaw::hold_everywhere}};
  CHECK(plan[0].lr(2) == std::vector{2e-3, 2e-3});
  CHECK(plan[1].schedule({.step = 1, .steps = 4}).lr == 0.75);
  CHECK(plan[1].norm.thawed == thaw::Norm::hold);
  CHECK_FALSE(thaw::Stage{}.freeze);
}

TEST_CASE("fine_tune's plan is fastai's") {
  const auto plan = thaw::fine_tune_plan(4, 2e-3, {.freeze_epochs = 2});
  REQUIRE(plan.size() == 2);
  CHECK(plan[0].epochs == 2);
  CHECK(plan[0].freeze({.index = 1, .count = 3, .name = ""}, {}));
  CHECK(plan[0].lr(3) == std::vector{2e-4, 2e-4, 2e-3});
  CHECK(plan[1].epochs == 4);
  CHECK_FALSE(plan[1].freeze({.index = 0, .count = 3, .name = ""}, {}));
  CHECK_THAT(plan[1].lr(3)[0], Catch::Matchers::WithinRel(1e-5, 1e-12));
  CHECK_THAT(plan[1].lr(3)[2], Catch::Matchers::WithinRel(1e-3, 1e-12));
  CHECK_THAT(plan[1].schedule({.step = 0, .steps = 10}).lr, Catch::Matchers::WithinRel(0.2, 1e-12));
  CHECK(plan[1].reset_optimizer);
}

TEST_CASE("fine_tune's one-cycle takes fastai's other arguments, in both stages") {
  for (const thaw::Stage& stage : thaw::fine_tune_plan(1, 2e-3, {.div_final = 10, .momentum_high = 0.9})) {
    const thaw::ScheduleValue first = stage.schedule({.step = 0, .steps = 1'000'000});
    const thaw::ScheduleValue last = stage.schedule({.step = 999'999, .steps = 1'000'000});
    CHECK(first.momentum == 0.9);
    CHECK_THAT(last.lr, Catch::Matchers::WithinAbs(0.1, 1e-4));
  }
}

TEST_CASE("max_batches: an epoch is the first batches of a pass, and the schedule ends where the last one does") {
  Bench limited, small;
  const thaw::InMemory first_two(
      {.input = small.input.slice(0, 0, 16), .target = small.target.slice(0, 0, 16), .batch_size = 8});
  small.learner->data({.train = first_two, .valid = small.data(16)});
  CHECK(limited.learner->describe({{.epochs = 3, .max_batches = 2}})[0].steps() == 6);
  limited.learner->fit({.epochs = 3, .lr = 0.1, .max_batches = 2});
  small.learner->fit({.epochs = 3, .lr = 0.1});
  CHECK(limited.learner->history().steps.size() == 6);
  CHECK(limited.learner->history().steps.back().lr[0] == 0.1 * thaw::OneCycle{}(5. / 6).lr);
  CHECK(same_state(state_of(*small.net), *limited.net));
  CHECK(limited.learner->history().epochs[2].train_loss == small.learner->history().epochs[2].train_loss);
  CHECK(limited.learner->history().epochs[2].valid->loss == small.learner->history().epochs[2].valid->loss);
}

TEST_CASE("max_batches: each epoch begins a pass of its own; batches are counted, not steps") {
  const std::int64_t per_step = GENERATE(1, 2);
  const std::optional<std::size_t> workers = GENERATE(std::optional<std::size_t>{}, 0, 2);  // none: InMemory
  const auto order = [&](std::optional<std::int64_t> max_batches) {
    Bench bench;
    at::manual_seed(3);
    DataSource source =
        thaw::InMemory({.input = bench.input, .target = bench.target, .batch_size = 8, .shuffle = true, .seed = 3});
    if (workers)
      source = torch::data::make_data_loader<torch::data::samplers::RandomSampler>(
          thaw::test::Samples(bench.input, bench.target).map(torch::data::transforms::Stack<>()),
          torch::data::DataLoaderOptions(8).workers(*workers));
    bench.learner->data({.train = source});
    Order seen;
    bench.learner->fit({.epochs = 3, .lr = 0.1, .max_batches = max_batches}, std::ref(seen),
                       thaw::GradientAccumulation{per_step});
    const std::int64_t batches = std::min<std::int64_t>(5, max_batches.value_or(5));
    CHECK(bench.learner->history().steps_done == 3 * ((batches + per_step - 1) / per_step));
    return seen.seen;
  };
  const auto whole = order({}), more = order(7), some = order(3);
  REQUIRE(whole.size() == 15);
  REQUIRE(more.size() == 15);  // there are no more
  REQUIRE(some.size() == 9);
  for (std::size_t i = 0; i < 15; ++i) CHECK(at::equal(more[i], whole[i]));
  for (std::size_t epoch = 0; epoch < 3; ++epoch)
    for (std::size_t i = 0; i < 3; ++i) CHECK(at::equal(some[3 * epoch + i], whole[5 * epoch + i]));
}

TEST_CASE("max_batches: cached features are cut as the data is") {
  const auto trained = [](const thaw::Cache& cache) {
    const Bench bench({.dtype = at::kFloat});
    torch::nn::Sequential net(torch::nn::Linear(4, 5), torch::nn::Tanh(), torch::nn::Linear(5, 3));
    thaw::Learner learner(net, thaw::LayerGroups::cut_at(net, {2}), thaw::cross_entropy,
                          {.train = bench.data(8), .valid = bench.data(16)});
    learner.fit({.epochs = 2, .freeze = thaw::FreezeTo{-1}, .lr = 0.1, .cache = cache, .max_batches = 2});
    CHECK(learner.history().steps_done == 4);
    CHECK(learner.history().stages[0].frozen_part.starts_with(cache ? "kept" : ""));
    return state_of(*net);
  };
  const auto cached = trained(thaw::Cache::memory);
  for (const auto& [name, value] : trained({})) CHECK(at::allclose(cached.at(name), value));
}

TEST_CASE("max_batches: none, or fewer, are refused; a last batch of one sample that no epoch comes to is not") {
  Bench bench;
  CHECK_THROWS_MATCHES(bench.learner->fit({.max_batches = 0}), thaw::ConfigError,
                       MessageMatches(ContainsSubstring("stage \"fit\": max_batches is 0")));
  Bench odd({.samples = 17, .norm = true});
  CHECK_THROWS_AS(odd.learner->fit({}), thaw::DataError);
  odd.learner->fit({.max_batches = 2});
  CHECK(odd.learner->history().steps_done == 2);
}

TEST_CASE("weight_decay: a stage's is in place of the optimizer's, bit for bit; norms and biases stay exempt") {
  Bench own({.norm = true}), stage({.norm = true});
  const auto own_learner = learner_with(own, [](const auto& groups) { return adamw(groups, 0.3); });
  const auto stage_learner = learner_with(stage, [](const auto& groups) { return adamw(groups, 0.01); });
  own_learner->fit({.epochs = 2, .lr = 1e-2});
  Decays decays;
  stage_learner->fit({.epochs = 2, .lr = 1e-2, .weight_decay = 0.3}, std::ref(decays));
  CHECK(same_state(state_of(*own.net), *stage.net));
  CHECK(decays.seen.at(0) == Options{0.3, 0., 0.3, 0., 0.3, 0.});
  CHECK(decays_of(stage_learner->optimizer()) == Options{0.01, 0., 0.01, 0., 0.01, 0.});
  own_learner->fit({.epochs = 1, .lr = 1e-2});
  stage_learner->fit({.epochs = 1, .lr = 1e-2});
  CHECK_FALSE(same_state(state_of(*own.net), *stage.net));  // now by its own again
}

TEST_CASE("weight_decay: a schedule moves it, step by step") {
  Bench bench;
  const auto learner = learner_with(bench, [](const auto& groups) { return adamw(groups, 0.01); });
  Decays decays;
  const Stage stage{.epochs = 2, .weight_decay = thaw::WeightDecay(0.4, thaw::LinearDecay{.end = 0.1})};
  const auto described = learner->describe({stage, {.weight_decay = 0.25}, {}});
  learner->fit(stage, std::ref(decays));
  REQUIRE(decays.seen.size() == 10);
  for (std::size_t i = 0; i < 10; ++i)
    CHECK(decays.seen[i].at(4) == 0.4 * thaw::LinearDecay{.end = 0.1}(static_cast<double>(i) / 10));
  CHECK(described[0].weight_decay->highest == decays.seen[0].at(0));
  CHECK(described[0].weight_decay->lowest == decays.seen[9].at(0));
  CHECK_FALSE(described[2].weight_decay.has_value());
  const thaw::Table table = thaw::plan_table(described);
  CHECK(table.headers.at(4) == "weight decay");
  CHECK(table.rows.at(0).at(4) == "0.076 to 0.4");
  CHECK(table.rows.at(1).at(4).empty());
  CHECK(table.rows.at(3).at(4) == "0.25");
  CHECK(table.rows.at(6).at(4) == "as it is");
}

TEST_CASE("weight_decay: each optimizer group has its own again, however the stage ends") {
  Bench bench;
  const auto learner = learner_with(bench, [](const thaw::LayerGroups& groups) {
    auto each = thaw::param_groups(groups);
    for (std::size_t i = 0; i < each.size(); ++i)
      each[i].set_options(std::make_unique<torch::optim::AdamWOptions>(
          torch::optim::AdamWOptions(1e-2).weight_decay(0.01 * static_cast<double>(i + 1))));
    return std::make_unique<torch::optim::AdamW>(each, torch::optim::AdamWOptions(1e-2));
  });
  const Options before = decays_of(learner->optimizer());
  struct Throws {
    void on_step_end(const thaw::StepEnd&) const { throw std::runtime_error("no more"); }
  };
  CHECK_THROWS_AS(learner->fit({.weight_decay = 0.5}, Throws{}), std::runtime_error);
  CHECK(decays_of(learner->optimizer()) == before);
  const thaw::test::Folder folder;
  learner->fit({.weight_decay = 0.5}, thaw::SaveBest{folder / "best.pt"});  // loads the optimizer's options, too
  CHECK(decays_of(learner->optimizer()) == before);
}

TEST_CASE("weight_decay: what no optimizer can take is refused, and an optimizer that has none") {
  Bench bench;
  const auto refused = [&](thaw::Learner& learner, const thaw::WeightDecay& decay, const char* why) {
    CHECK_THROWS_MATCHES(learner.fit({.weight_decay = decay}), thaw::ConfigError,
                         MessageMatches(ContainsSubstring(why)));
    CHECK(learner.history().steps_done == 0);
  };
  refused(*bench.learner, -1, "stage \"fit\": a weight decay of -1 at step 0 of 5");
  refused(*bench.learner, std::nan(""), "a weight decay of nan");
  refused(*bench.learner, {1, [](double t) { return 0.5 - t; }}, "a weight decay of -0.1 at step 3 of 5");
  refused(*bench.learner, {1, thaw::Polynomial{.power = -1}}, "Polynomial: power is -1");
  thaw::Learner exempt(bench.net, thaw::LayerGroups::cut_before(bench.net, {"body"}).without_decay({"*"}),
                       thaw::cross_entropy, {.train = bench.data(8)});
  refused(exempt, 0.1, "the optimizer has none that can be set");
}
