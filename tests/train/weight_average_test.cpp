// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/weight_average.hpp>

#include <torch/csrc/jit/serialization/import.h>

#include <catch2/catch_test_macros.hpp>
#include <map>
#include <string>
#include <thaw/groups/script_module.hpp>

#include "support/bench.hpp"
#include "support/data.hpp"

using thaw::EMA;
using thaw::SWA;
using thaw::test::Bench;
using thaw::test::state_of;

namespace {

using State = std::map<std::string, at::Tensor>;

/// The state after every step, and at the end of every epoch's training, as a callback that comes before sees it.
struct Record {
  const torch::nn::Module* net;
  std::vector<State> steps = {}, epochs = {};
  void on_step_end(const thaw::StepEnd&) { steps.push_back(state_of(*net)); }
  void on_epoch_trained(const thaw::EpochTrained&) { epochs.push_back(state_of(*net)); }
};

const thaw::Stage stage{.epochs = 4, .freeze = thaw::FreezeTo{1}, .lr = 0.1, .schedule = thaw::Constant{}};

bool close(const at::Tensor& a, const at::Tensor& b) {
  return at::allclose(a, b, 1e-12, 1e-14);
}

}  // namespace

TEST_CASE("EMA leaves the formula's average in the model, and frozen groups as they are") {
  for (const bool warm_up : {false, true}) {
    CAPTURE(warm_up);
    Bench bench({.norm = true});
    const State before = state_of(*bench.net);
    Record record{&*bench.net};
    bench.learner->fit(stage, std::ref(record), EMA{.decay = 0.8, .warm_up = warm_up});
    State average = before;
    for (std::size_t i = 0; i < record.steps.size(); ++i) {
      const double n = static_cast<double>(i + 1), d = warm_up ? std::min(0.8, (1 + n) / (10 + n)) : 0.8;
      for (auto& [name, tensor] : average)
        if (tensor.is_floating_point()) tensor = d * tensor + (1 - d) * record.steps[i].at(name);
    }
    for (const auto& [name, tensor] : state_of(*bench.net)) {
      CAPTURE(name);
      if (name.starts_with("stem"))
        CHECK(at::equal(tensor, before.at(name)));
      else if (tensor.is_floating_point())
        CHECK(close(tensor, average.at(name)));
    }
  }
}

TEST_CASE("training goes on from the weights themselves, validation sees the averages") {
  Bench with, without;
  const thaw::EpochRecord last = with.learner->fit(stage, EMA{.decay = 0.9});
  without.learner->fit(stage);
  for (std::size_t i = 0; i < with.learner->history().steps.size(); ++i)
    CHECK(with.learner->history().steps[i].loss == without.learner->history().steps[i].loss);
  CHECK(with.learner->validate().loss == last.valid->loss);
  CHECK(last.valid->loss != without.learner->history().epochs.back().valid->loss);
}

TEST_CASE("SWA leaves the mean of the last epochs' weights, and norm statistics measured anew") {
  Bench bench({.norm = true});
  const State before = state_of(*bench.net);
  Record record{&*bench.net};
  bench.learner->fit(stage, std::ref(record), SWA{.start = 0.5});
  REQUIRE(record.epochs.size() == 4);
  for (const auto& [name, tensor] : state_of(*bench.net)) {
    CAPTURE(name);
    if (name.starts_with("stem"))
      CHECK(at::equal(tensor, before.at(name)));
    else if (name.find("running") == std::string::npos && tensor.is_floating_point())
      CHECK(close(tensor, (record.epochs[2].at(name) + record.epochs[3].at(name)) / 2));
  }

  // The body's batch norm by hand: the mean over batches of its input's mean and unbiased variance.
  bench.net->stem->eval();
  at::Tensor mean = at::zeros({5}, at::kDouble), variance = mean.clone();
  for (const at::Tensor& batch : bench.input.split(8)) {
    const at::Tensor x = bench.net->body[0]->as<torch::nn::Linear>()->forward(bench.net->stem->forward(batch));
    mean += x.mean(0) / 5;
    variance += x.var(0, /*unbiased=*/true) / 5;
  }
  const auto* norm = bench.net->body[1]->as<torch::nn::BatchNorm1d>();
  CHECK(close(norm->running_mean, mean));
  CHECK(close(norm->running_var, variance));
  CHECK(norm->options.momentum() == 0.1);
}

TEST_CASE("averages refuse numbers that make no sense") {
  Bench bench;
  CHECK_THROWS_AS(bench.learner->fit({}, EMA{.decay = 1}), thaw::ConfigError);
  CHECK_THROWS_AS(bench.learner->fit({}, SWA{.start = 1}), thaw::ConfigError);
}

TEST_CASE("SWA refuses, before it trains, norm layers from Python that it cannot measure anew; held ones it takes") {
  const auto fit = [](const char* file, thaw::NormRule norm) {
    at::manual_seed(1);
    const thaw::ScriptModule model(torch::jit::load(thaw::test::fixture(file).string()));
    thaw::Learner learner{
        model,
        thaw::LayerGroups::cut_before(model, {"fc"}),
        thaw::cross_entropy,
        {.train = thaw::InMemory({.input = at::randn({8, 2, 4, 4}), .target = at::zeros({8}, at::kLong)})}};
    const State before = state_of(*model);
    try {
      learner.fit({.epochs = 1, .freeze = thaw::Unfrozen{}, .lr = 0.1, .norm = norm}, SWA{.start = 0});
    } catch (const thaw::ConfigError& error) {
      CHECK(thaw::test::same_state(before, *model));
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(fit("groups/scripted.pt", {}).find("SWA: the momentum of TorchScript's norm layers") == 0);
  CHECK(fit("groups/scripted.pt", thaw::hold_everywhere).empty());
  CHECK(fit("groups/traced_eval.pt", {}).empty());
}
