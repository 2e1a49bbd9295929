// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/quick_check.hpp>

#include <torch/data/dataloader.h>
#include <torch/data/datasets/map.h>
#include <torch/data/samplers/random.h>
#include <torch/data/transforms/stack.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <cstring>
#include <functional>
#include <thaw/groups/gradual_unfreeze.hpp>
#include <thaw/train/gradient_accumulation.hpp>
#include <thaw/train/metric.hpp>
#include <thaw/train/mixup.hpp>
#include <thaw/train/save_best.hpp>
#include <thaw/train/terminate_on_nan.hpp>

#include "support/bench.hpp"
#include "support/folder.hpp"
#include "support/samples.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::quick_check;
using thaw::Stage;
using thaw::StageCheck;
using thaw::test::Bench;

namespace {

const std::vector<Stage> two_stages{
    {.name = "head", .epochs = 2, .freeze = thaw::FreezeTo{-1}, .lr = 1e-2},
    {.name = "all", .epochs = 3, .freeze = thaw::Unfrozen{}, .lr = 1e-3, .reset_optimizer = true, .weight_decay = 0.2}};

/// A network with all that is delicate, and data that may be a shuffled loader.
struct Run {
  explicit Run(bool loader) {
    at::manual_seed(11);
    net = torch::nn::Sequential(torch::nn::Linear(4, 6), torch::nn::BatchNorm1d(6), torch::nn::Dropout(0.3),
                                torch::nn::Linear(6, 3));
    const at::Tensor labels = at::arange(24) % 3, inputs = at::randn({24, 4}) + labels.unsqueeze(1);
    const auto data = [&] {
      if (!loader)
        return thaw::DataSource(thaw::InMemory({.input = inputs, .target = labels, .batch_size = 4, .shuffle = true}));
      return thaw::DataSource(torch::data::make_data_loader<torch::data::samplers::RandomSampler>(
          thaw::test::Samples(inputs, labels).map(torch::data::transforms::Stack<>()),
          torch::data::DataLoaderOptions(4)));
    };
    learner = std::make_unique<thaw::Learner>(
        net, thaw::LayerGroups::cut_at(net, {3}), thaw::cross_entropy,
        thaw::LearnerOptions{.train = data(), .valid = data(), .metrics = {thaw::accuracy()}});
  }
  torch::nn::Sequential net;
  std::unique_ptr<thaw::Learner> learner;
};

/// All that the run would go on with, but the time that it took.
thaw::RunState state_now(thaw::Learner& learner) {
  thaw::RunState state = learner.run_state();
  for (auto& [name, tensor] : state) tensor = tensor.clone();
  std::erase_if(state, [](const auto& each) { return each.first.ends_with("seconds") || each.first == "run"; });
  return state;
}

std::vector<std::string> what_differs(const thaw::RunState& a, const thaw::RunState& b) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : a)
    if (!b.contains(name) || b.at(name).nbytes() != tensor.nbytes() ||
        (tensor.nbytes() > 0 &&
         std::memcmp(tensor.const_data_ptr(), b.at(name).const_data_ptr(), tensor.nbytes()) != 0))
      names.push_back(name);
  for (const auto& [name, tensor] : b)
    if (!a.contains(name)) names.push_back("+" + name);
  return names;
}

}  // namespace

TEST_CASE("a quick check leaves no trace: what follows is bit for bit as without, also between fits") {
  const bool loader = GENERATE(false, true);
  const auto train = [&](bool first, bool between) {
    Run run(loader);
    if (first) CHECK(quick_check(*run.learner, two_stages, thaw::MixUp{}).size() == 2);
    run.learner->fit(two_stages);
    const thaw::RunState before = state_now(*run.learner);
    run.net->eval();
    run.net->parameters()[0].mutable_grad() = at::ones({6, 4});
    if (between) {
      CHECK(quick_check(*run.learner, two_stages).size() == 2);
      CHECK(what_differs(before, state_now(*run.learner)) == std::vector<std::string>{"states taken"});
      CHECK_FALSE(run.net->is_training());
      CHECK(run.net->parameters()[0].grad().sum().item<float>() == 24);
      CHECK(run.learner->groups().frozen() == std::vector{false, false});
      CHECK(run.learner->optimizer().param_groups()[0].options().get_lr() > 0);
    }
    run.learner->freeze();
    if (between) CHECK(quick_check(*run.learner, {{.epochs = 2}})[0].losses.size() == 2);
    CHECK(run.learner->groups().frozen() == std::vector{true, false});
    run.learner->fit({.name = "more", .epochs = 2});
    return state_now(*run.learner);
  };
  const thaw::RunState without = train(false, false);
  CHECK(what_differs(without, train(true, false)) == std::vector<std::string>{});
  CHECK(what_differs(without, train(false, true)) == std::vector<std::string>{"states taken"});
}

TEST_CASE("it takes the steps that the fit would take first, and validates on two batches") {
  Bench checked, fitted;
  const std::vector<StageCheck> checks = quick_check(*checked.learner, two_stages);
  REQUIRE(checks.size() == 2);
  CHECK(checks[0].name == "head");
  CHECK(checks[1].name == "all");
  std::vector<double> losses;
  struct Losses {
    std::vector<double>* losses;
    void on_step_end(const thaw::StepEnd& event) const {
      losses->push_back(event.loss.item<double>());
      if (event.step == 2) event.learner.stop("two");
    }
  };
  fitted.learner->data(
      {.train = fitted.data(8),
       .valid = thaw::InMemory(
           {.input = fitted.input.slice(0, 0, 32), .target = fitted.target.slice(0, 0, 32), .batch_size = 16})});
  fitted.learner->fit(two_stages, Losses{&losses});
  REQUIRE(losses.size() == 4);
  CHECK(checks[0].losses == std::vector(losses.begin(), losses.begin() + 2));
  CHECK(checks[1].losses == std::vector(losses.begin() + 2, losses.end()));
  CHECK(checks[0].valid->loss == fitted.learner->history().epochs[0].valid->loss);
  CHECK(checks[1].valid->loss == fitted.learner->history().epochs[1].valid->loss);
  CHECK(checks[0].stop.empty());
  CHECK(checks[0].peak_memory == 0);  // not known on the CPU
  CHECK(checked.learner->history().steps_done == 0);
}

TEST_CASE("two steps more wherever a stage thaws something") {
  struct Thawed {
    std::vector<std::vector<bool>> seen = {};
    void on_gradients_ready(const thaw::GradientsReady& event) { seen.push_back(event.learner.groups().frozen()); }
  };
  Bench bench;
  Thawed thawed;
  const std::vector<Stage> gradual{
      {.epochs = 3, .freeze = thaw::GradualUnfreeze{.every = thaw::Epochs{1}}, .lr = 1e-2}};
  CHECK(quick_check(*bench.learner, gradual, std::ref(thawed), thaw::GradientAccumulation{2})[0].losses.size() == 6);
  CHECK(thawed.seen == std::vector<std::vector<bool>>{{true, true, false},
                                                      {true, true, false},
                                                      {true, false, false},
                                                      {true, false, false},
                                                      {false, false, false},
                                                      {false, false, false}});
}

TEST_CASE("it refuses what a fit would; callbacks that write files do not; one that stops is quoted") {
  Bench bench;
  CHECK_THROWS_MATCHES(quick_check(*bench.learner, {{.name = "good"}, {.name = "bad", .epochs = 0}}), thaw::ConfigError,
                       MessageMatches(ContainsSubstring("stage \"bad\": 0 epochs")));
  struct Asks {
    void on_step_end(const thaw::StepEnd& event) const { quick_check(event.learner, {{}}); }
  };
  CHECK_THROWS_MATCHES(bench.learner->fit({}, Asks{}), thaw::ConfigError,
                       MessageMatches(ContainsSubstring("quick_check: a callback calls it")));
  const thaw::test::Folder folder;
  (void)quick_check(*bench.learner, two_stages, thaw::SaveBest{folder / "best.pt"});
  CHECK(folder.files() == 0);
  Bench broken({.valid = false});
  const c10::NoGradGuard no_grad;
  CHECK_THROWS_MATCHES(quick_check(*broken.learner, two_stages), thaw::ConfigError,
                       MessageMatches(ContainsSubstring("quick_check: gradients are switched off")));
}

TEST_CASE("a loss that is not finite is told, with the reason of the callback that ends it") {
  Bench bench({.valid = false});
  bench.input[0][0] = std::nan("");
  const std::vector<StageCheck> checks = quick_check(*bench.learner, two_stages, thaw::TerminateOnNaN{});
  for (const StageCheck& check : checks) {
    REQUIRE(check.losses.size() == 1);
    CHECK(std::isnan(check.losses[0]));
    CHECK_THAT(check.stop, ContainsSubstring("the loss is nan"));
    CHECK_FALSE(check.valid.has_value());
  }
  CHECK_THAT(thaw::to_text(checks), ContainsSubstring("head: losses nan; ") && ContainsSubstring("; stopped: "));
}

TEST_CASE("the check as text") {
  CHECK(thaw::to_text({{.name = "head",
                        .losses = {2.34567, 2.3},
                        .valid = thaw::Evaluation{.loss = 2.25, .metrics = {{"accuracy", 0.125}}},
                        .seconds = 0.44,
                        .peak_memory = 12'345'678},
                       {.name = "all", .losses = {1}, .seconds = 1}}) ==
        "head: losses 2.346, 2.3; valid loss 2.25, accuracy 0.125; 0.4 s, 12 MB\nall: losses 1; 1.0 s\n");
}

TEST_CASE("in a resumed program it does nothing until the run goes on") {
  Bench first;
  first.learner->fit({.name = "head", .epochs = 1});
  thaw::RunState state = first.learner->run_state();
  for (auto& [name, tensor] : state) tensor = tensor.clone();
  Bench again;
  again.learner->resume(state);
  CHECK(quick_check(*again.learner, two_stages).empty());
  again.learner->fit({.name = "head", .epochs = 1});
  CHECK(quick_check(*again.learner, two_stages).size() == 2);
}
