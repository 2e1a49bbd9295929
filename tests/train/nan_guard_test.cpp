// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/nan_guard.hpp>

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <ATen/ops/full_like.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <functional>
#include <limits>
#include <set>
#include <thaw/data/in_memory.hpp>
#include <thaw/train/gradient_accumulation.hpp>
#include <thaw/train/loss.hpp>
#include <vector>

#include "support/nets.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::NaNGuard;
using thaw::OnNaN;

namespace {

struct Guarded {
  Guarded() {
    at::manual_seed(1);
    net = torch::nn::Sequential(torch::nn::Linear(4, 6), torch::nn::BatchNorm1d(6), torch::nn::Linear(6, 3));
    const thaw::InMemory data(
        {.input = at::randn({48, 4}), .target = at::randint(3, {48}, at::kLong), .batch_size = 8});
    learner = std::make_unique<thaw::Learner>(net, thaw::LayerGroups::per_child(net), thaw::cross_entropy,
                                              thaw::LearnerOptions{.train = data});
  }
  thaw::Learner* operator->() const { return learner.get(); }
  torch::nn::Sequential net{nullptr};
  std::unique_ptr<thaw::Learner> learner;
};

/// Makes the inputs of some steps (1 is the first) not finite.
struct Damage {
  std::set<std::int64_t> steps;
  std::int64_t now = 0;
  void on_batch_ready(const thaw::BatchReady& event) {
    if (steps.contains(++now))
      event.batch.input.replace(0, at::full_like(event.batch.input[0], std::numeric_limits<double>::quiet_NaN()));
  }
};

/// The state after each step.
struct Steps {
  std::vector<std::map<std::string, at::Tensor>>* states;
  void on_step_end(const thaw::StepEnd& event) const {
    states->push_back(thaw::test::state_of(*event.learner.groups().module()));
  }
};

bool same(const std::map<std::string, at::Tensor>& a, const std::map<std::string, at::Tensor>& b) {
  for (const auto& [name, tensor] : a)
    if (!tensor.equal(b.at(name))) return false;
  return true;
}

}  // namespace

TEST_CASE("a step whose loss is not finite is left out: weights and norm statistics are those before it") {
  Guarded run;
  std::vector<std::map<std::string, at::Tensor>> states;
  const thaw::EpochRecord epoch = run->fit({.epochs = 1, .lr = 1e-2}, NaNGuard{}, Damage{.steps = {3}}, Steps{&states});
  REQUIRE(states.size() == 6);
  CHECK(same(states[1], states[2]));
  CHECK_FALSE(same(states[2], states[3]));
  CHECK(std::isnan(run->history().steps[2].loss));
  CHECK(std::isfinite(epoch.train_loss));
  CHECK(epoch.stop.empty());
}

TEST_CASE("without the guard the same batch ruins the network") {
  Guarded run;
  run->fit({.epochs = 1, .lr = 1e-2}, Damage{.steps = {3}});
  CHECK(run.net->parameters()[0].isnan().any().item<bool>());
}

TEST_CASE("gradients that are not finite are seen, where the loss is finite") {
  Guarded run;
  std::vector<std::map<std::string, at::Tensor>> states;
  struct Spoil {
    std::int64_t now = 0;
    void on_gradients_ready(const thaw::GradientsReady& event) {
      if (++now == 2) event.learner.groups().gradients()[0].fill_(std::numeric_limits<double>::infinity());
    }
  };
  run->fit({.epochs = 1, .lr = 1e-2}, Spoil{}, NaNGuard{}, Steps{&states});
  CHECK(same(states[0], states[1]));
  CHECK_FALSE(run.net->parameters()[0].isnan().any().item<bool>());
}

TEST_CASE("roll_back goes to the last good step that was copied, its optimizer too") {
  Guarded run;
  std::vector<std::map<std::string, at::Tensor>> states;
  run->fit({.epochs = 2, .lr = 1e-2}, NaNGuard{.then = OnNaN::roll_back, .every = 2}, Damage{.steps = {6}},
           Steps{&states});
  CHECK(same(states[5], states[3]));  // copied after steps 2 and 4
  CHECK_FALSE(same(states[5], states[4]));
  const auto& state = static_cast<const torch::optim::AdamWParamState&>(
      *run->optimizer().state().at(run.net->parameters()[0].unsafeGetTensorImpl()));
  CHECK(state.step() == 12 - 2);  // step 5 was undone, step 6 left out
}

TEST_CASE("a whole step is left out when one of its batches is not finite") {
  Guarded run;
  std::vector<std::map<std::string, at::Tensor>> states;
  run->fit({.epochs = 1, .lr = 1e-2}, thaw::GradientAccumulation{2}, NaNGuard{}, Damage{.steps = {4}}, Steps{&states});
  REQUIRE(states.size() == 3);
  CHECK(same(states[0], states[1]));
  CHECK_FALSE(same(states[1], states[2]));
}

TEST_CASE("so many bad steps in a row end the stage, and it says why") {
  Guarded run;
  const thaw::EpochRecord epoch =
      run->fit({.epochs = 1, .lr = 1e-2}, NaNGuard{.patience = 2}, Damage{.steps = {2, 4, 5}});
  CHECK(epoch.stop == "losses or gradients were not finite in 2 steps in a row");
  CHECK(run->history().steps.size() == 5);
  CHECK_THROWS_MATCHES(run->fit({.epochs = 1}, NaNGuard{.patience = 0}), thaw::ConfigError,
                       MessageMatches(ContainsSubstring("patience is 0")));
}

TEST_CASE("a guarded run without a bad step is the run without a guard") {
  Guarded run, plain;
  const OnNaN then = GENERATE(OnNaN::skip, OnNaN::roll_back);
  run->fit({.epochs = 2, .lr = 1e-2}, NaNGuard{.then = then, .every = 3});
  plain->fit({.epochs = 2, .lr = 1e-2});
  CHECK(thaw::test::same_state(thaw::test::state_of(*run.net), *plain.net));
}
