// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/validate_every.hpp>

#include <torch/nn/modules/dropout.h>

#include <ATen/Context.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <functional>
#include <optional>
#include <thaw/report/csv_log.hpp>
#include <thaw/train/early_stop.hpp>
#include <thaw/train/keep_best.hpp>
#include <thaw/train/nan_guard.hpp>
#include <thaw/train/save_best.hpp>
#include <thaw/train/time_limit.hpp>
#include <thaw/train/weight_average.hpp>

#include "support/bench.hpp"
#include "support/folder.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::ValidateEvery;
using thaw::test::Bench;
using thaw::test::state_of;

namespace {

/// What it is told.
struct Records {
  std::vector<thaw::EpochRecord> seen = {};
  void on_epoch_end(const thaw::EpochEnd& event) { seen.push_back(event.record); }
};

/// What validation gives after each step, and what the step's loss was.
struct AfterEachStep {
  std::vector<double> valid = {}, loss = {};
  void on_step_end(const thaw::StepEnd& event) {
    valid.push_back(event.learner.validate().loss);
    loss.push_back(event.loss.item<double>());
  }
};

}  // namespace

TEST_CASE("its callbacks are told of a validation after every n steps of an epoch, and of each epoch's own") {
  Bench bench;  // five steps per epoch
  Records records;
  AfterEachStep steps;
  bench.learner->fit({.name = "head", .epochs = 2, .lr = 0.1}, std::ref(steps),
                     ValidateEvery{.steps = 2, .callbacks = {std::ref(records)}});
  const std::vector<std::int64_t> expected{2, 4, 5, 7, 9, 10};
  REQUIRE(records.seen.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(i);
    const thaw::EpochRecord& record = records.seen[i];
    const auto step = static_cast<std::size_t>(expected[i]) - 1;
    CHECK(record.steps_done == expected[i]);
    CHECK(record.stage == "head");
    CHECK(record.epoch == (i < 3 ? 1 : 2));
    CHECK(record.epochs == 2);
    CHECK(record.valid.value().loss == steps.valid.at(step));
    CHECK(record.lr == bench.learner->history().steps.at(step).lr);
    if (i % 3 != 2) CHECK(record.train_loss == steps.loss.at(step));
  }
  CHECK(bench.learner->history().epochs.size() == 2);
  Records once;  // an epoch's end is validated once
  bench.learner->fit({.lr = 0.1}, ValidateEvery{.steps = 5, .callbacks = {std::ref(once)}});
  CHECK(once.seen.size() == 1);
}

TEST_CASE("the rest of the run is, bit for bit, that of a run without") {
  const auto train = [](std::optional<ValidateEvery> every) {
    at::manual_seed(5);
    torch::nn::Sequential net(torch::nn::Linear(4, 6), torch::nn::BatchNorm1d(6), torch::nn::Dropout(0.4),
                              torch::nn::Linear(6, 3));
    const at::Tensor labels = at::arange(40) % 3, inputs = at::randn({40, 4});
    const auto noise = [](const thaw::Fields& x) { return thaw::Fields(x[0] + 0.1 * at::randn(x[0].sizes())); };
    const auto data = [&] {  // both draw from the global generator
      return thaw::InMemory({.input = inputs, .target = labels, .batch_size = 8, .shuffle = true, .transform = noise});
    };
    thaw::Learner learner(net, thaw::LayerGroups::cut_at(net, {3}), thaw::cross_entropy,
                          {.train = data(), .valid = data()});
    const std::vector<thaw::Stage> plan{{.epochs = 2, .freeze = thaw::FreezeTo{-1}, .lr = 0.1},
                                        {.epochs = 2, .freeze = thaw::Unfrozen{}, .lr = 0.1}};
    if (every)
      learner.fit(plan, *every);
    else
      learner.fit(plan);
    std::vector<double> losses;
    for (const thaw::EpochRecord& epoch : learner.history().epochs)
      losses.push_back(epoch.train_loss), losses.push_back(epoch.valid->loss);
    return std::tuple(state_of(*net), losses, at::globalContext().defaultGenerator(at::kCPU).get_state());
  };
  const auto [weights, losses, random] = train({});
  const auto [weights_with, losses_with, random_with] = train(ValidateEvery{.steps = 2});
  for (const auto& [name, value] : weights) CHECK(at::equal(value, weights_with.at(name)));
  CHECK(losses == losses_with);
  CHECK(at::equal(random, random_with));
}

TEST_CASE("what watches a number acts within the epoch: EarlyStop, SaveBest, KeepBest, and CsvLog logs it") {
  const thaw::test::Folder folder;
  Bench bench;
  const auto validations = [&](double lr, auto... callbacks) {
    Records records;
    bench.learner->fit({.epochs = 3, .lr = lr, .schedule = thaw::Constant{}},
                       ValidateEvery{.steps = 1, .callbacks = {callbacks..., std::ref(records)}});
    return records.seen;
  };
  const std::int64_t before = bench.learner->history().steps_done;
  (void)validations(0, thaw::EarlyStop{.patience = 2});  // 1 is the best so far, 2 and 3 are not better
  CHECK(bench.learner->history().steps_done - before == 3);
  CHECK_THAT(bench.learner->history().epochs.back().stop, ContainsSubstring("for 2 epochs"));

  double best = 1e9;
  for (const thaw::EpochRecord& each : validations(3, thaw::SaveBest{folder / "best.pt"}))
    best = std::min(best, each.valid->loss);
  CHECK(bench.learner->validate().loss == best);

  best = bench.learner->validate().loss;
  for (const thaw::EpochRecord& each : validations(3, thaw::KeepBest{}, thaw::CsvLog{folder / "run.csv"}))
    best = std::min(best, each.valid->loss);
  CHECK(bench.learner->validate().loss == best);
  const std::string log = thaw::test::text_of(folder / "run.csv");
  CHECK(std::ranges::count(log, '\n') == 1 + 15);
}

TEST_CASE("what would not be told, or be told a mixture, is refused") {
  Bench bench, without({.valid = false});
  const auto refused = [](Bench& of, const ValidateEvery& every, const std::string& why, auto... others) {
    CHECK_THROWS_MATCHES(of.learner->fit({}, every, others...), thaw::ConfigError,
                         MessageMatches(ContainsSubstring(why)));
  };
  refused(bench, {.steps = 0}, "ValidateEvery: 0 steps");
  refused(without, {}, "ValidateEvery: there is no validation data");
  refused(bench, {.callbacks = {thaw::NaNGuard{}}}, "thaw::NaNGuard hears of more than validations");
  refused(bench, {.callbacks = {thaw::TimeLimit{}}}, "thaw::TimeLimit hears of more");
  refused(bench, {}, "ValidateEvery, EMA each swap the model's weights for an average, or validate them", thaw::EMA{});
  refused(bench, {.callbacks = {thaw::EarlyStop{.monitor = "wer"}}}, "EarlyStop");
  refused(bench, {.callbacks = {thaw::SaveBest{}}}, "SaveBest, KeepBest each put other weights", thaw::KeepBest{});
}
