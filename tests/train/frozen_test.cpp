// SPDX-License-Identifier: BSD-3-Clause
// Frozen means frozen: over random nets, policies, optimizers and callbacks, what is frozen throughout a stage is
// bit-identical after it.

#include <torch/nn/modules/dropout.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>

#include <ATen/ops/randint.h>
#include <catch2/catch_test_macros.hpp>
#include <random>
#include <thaw/data/in_memory.hpp>
#include <thaw/groups/freeze_combine.hpp>
#include <thaw/groups/gradual_unfreeze.hpp>
#include <thaw/train/gradient_accumulation.hpp>
#include <thaw/train/gradient_clip.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/loss.hpp>
#include <thaw/train/mixup.hpp>
#include <thaw/train/weight_average.hpp>

#include "support/nets.hpp"

using thaw::LayerGroups;
using thaw::Norm;
using thaw::test::changed;
using thaw::test::state_of;

namespace {

/// Draws from what a seed gives.
struct Dice {
  std::mt19937 random;

  int upto(int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); }  // [0, n)
  bool maybe() { return upto(2) == 0; }
};

/// Children "layer0" ... and "head": linear, perhaps batch norm, perhaps dropout.
struct RandomNetImpl : torch::nn::Module {
  explicit RandomNetImpl(Dice& dice) {
    const int depth = 2 + dice.upto(3);
    for (int i = 0; i < depth; ++i) {
      torch::nn::Sequential block{torch::nn::Linear(i == 0 ? 4 : 6, 6)};
      if (dice.maybe()) block->push_back(torch::nn::BatchNorm1d(6));
      if (dice.upto(3) == 0) block->push_back(torch::nn::Dropout(0.2));
      block->push_back(torch::nn::Tanh());
      blocks.push_back(register_module("layer" + std::to_string(i), block));
    }
    head = register_module("head", torch::nn::Linear(6, 3));
  }
  at::Tensor forward(at::Tensor x) {
    for (auto& block : blocks) x = block->forward(x);
    return head->forward(x);
  }
  std::vector<torch::nn::Sequential> blocks;
  torch::nn::Linear head{nullptr};
};
TORCH_MODULE(RandomNet);

thaw::AnyFreezePolicy random_policy(Dice& dice, int groups) {
  const std::string layer = "layer" + std::to_string(dice.upto(groups - 1));
  const int some = 1 + dice.upto(groups - 1);
  switch (dice.upto(9)) {
    case 0:
      return thaw::FreezeTo{some};
    case 1:
      return thaw::FreezeTo{-some};
    case 2:
      return thaw::Only{.groups = {dice.upto(groups), -1}};
    case 3:
      return thaw::Only{.groups = {dice.upto(groups)}};
    case 4:
      return thaw::FreezeWhere{layer};
    case 5:
      return thaw::GradualUnfreeze{.every = thaw::Steps{2 + dice.upto(3)}};
    case 6:
      return thaw::FreezeTo{1} || thaw::FreezeWhere{layer};
    case 7:
      return thaw::FreezeTo{-1} && !thaw::FreezeWhere{layer};
    default:
      return thaw::until(1, thaw::FreezeTo{-1}, thaw::FreezeTo{some});
  }
}

/// Large rates, momentum and decay: what could move, does.
std::unique_ptr<torch::optim::Optimizer> make_optimizer(int kind, const LayerGroups& groups) {
  auto params = thaw::param_groups(groups);
  switch (kind) {
    case 0:
      return std::make_unique<torch::optim::SGD>(params, torch::optim::SGDOptions(0.1).momentum(0.9).weight_decay(0.1));
    case 1:
      return std::make_unique<torch::optim::Adam>(params, torch::optim::AdamOptions(0.1).weight_decay(0.1));
    case 2:
      return std::make_unique<torch::optim::AdamW>(params, torch::optim::AdamWOptions(0.1).weight_decay(0.1));
    case 3:
      return std::make_unique<torch::optim::RMSprop>(params,
                                                     torch::optim::RMSpropOptions(0.1).momentum(0.9).weight_decay(0.1));
    default:
      return std::make_unique<thaw::AdamW>(groups, torch::optim::AdamWOptions(0.1).weight_decay(0.1));
  }
}

std::vector<thaw::Callback> random_callbacks(Dice& dice, std::int64_t batches_per_step) {
  std::vector<thaw::Callback> callbacks;
  if (dice.maybe())
    callbacks.emplace_back(dice.maybe() ? thaw::GradientClip{.norm = 0.5} : thaw::GradientClip{.value = 0.1});
  if (dice.maybe()) callbacks.emplace_back(thaw::EMA{.decay = 0.8});
  if (dice.maybe()) callbacks.emplace_back(thaw::SWA{.start = 0.5});
  if (dice.maybe()) callbacks.emplace_back(thaw::MixUp{});
  if (batches_per_step > 1) callbacks.emplace_back(thaw::GradientAccumulation{batches_per_step});
  return callbacks;
}

thaw::InMemory data() {
  const at::Tensor target = at::randint(3, {24}, at::kLong);
  return thaw::InMemory(
      {.input = at::randn({24, 4}) + target.unsqueeze(1), .target = target, .batch_size = 8, .shuffle = true});
}

/// Per group, whether it is frozen in every step.
std::vector<bool> frozen_throughout(const thaw::AnyFreezePolicy& policy, const LayerGroups& groups, std::int64_t epochs,
                                    std::int64_t steps_per_epoch) {
  std::vector<bool> frozen(groups.size(), true);
  for (const thaw::Progress at : thaw::steps(epochs * steps_per_epoch, steps_per_epoch)) {
    const std::vector<bool> now = thaw::frozen_groups(policy, groups, at);
    for (std::size_t i = 0; i < frozen.size(); ++i) frozen[i] = frozen[i] && now[i];
  }
  return frozen;
}

struct Moved {
  bool weights = false, norm_weights = false, buffers = false;
};

Moved moved_of(const thaw::LayerGroup& group, const std::vector<std::string>& names) {
  Moved moved;
  const auto has = [&](const std::string& name) { return std::ranges::find(names, name) != names.end(); };
  for (const auto& parameter : group.parameters)
    if (has(parameter.name)) (parameter.of_norm ? moved.norm_weights : moved.weights) = true;
  for (const auto& [name, buffer] : group.buffers)
    if (has(name)) moved.buffers = true;
  return moved;
}

/// One random net through a thawed stage, then two with random policies.
void check_trial(unsigned seed, Norm rule) {
  CAPTURE(seed, static_cast<int>(rule));
  at::manual_seed(seed);
  Dice dice{std::mt19937(seed)};
  RandomNet net(dice);
  const int optimizer = static_cast<int>(seed % 5);
  const std::int64_t batches_per_step = 1 + dice.upto(3),
                     steps_per_epoch = (3 + batches_per_step - 1) / batches_per_step;
  thaw::Learner learner(net, LayerGroups::per_child(net), thaw::cross_entropy,
                        {.train = data(),
                         .valid = data(),
                         .callbacks = random_callbacks(dice, batches_per_step),
                         .optimizer = [&](const LayerGroups& groups) { return make_optimizer(optimizer, groups); }});
  learner.fit({.epochs = 1, .freeze = thaw::Unfrozen{}, .lr = 1e-2, .schedule = thaw::Constant{}});

  for (int stage = 0; stage < 2; ++stage) {
    net->forward(at::randn({8, 4})).square().sum().backward();  // stale gradients
    const auto policy = random_policy(dice, static_cast<int>(learner.groups().size()));
    const std::int64_t epochs = 2 + dice.upto(2);
    const thaw::NormRule norm{.frozen = rule, .thawed = dice.maybe() ? Norm::train : Norm::hold};
    const auto frozen = frozen_throughout(policy, learner.groups(), epochs, steps_per_epoch);
    CAPTURE(stage, optimizer, batches_per_step, epochs, frozen);
    const auto before = state_of(*net);
    learner.fit({.epochs = epochs,
                 .freeze = policy,
                 .lr = 1e-2,
                 .schedule = thaw::Constant{},
                 .norm = norm,
                 .reset_optimizer = dice.maybe()});
    const auto names = changed(before, *net);
    for (std::size_t i = 0; i < frozen.size(); ++i) {
      const thaw::LayerGroup& group = learner.groups()[i];
      CAPTURE(group.name, names);
      const Moved moved = moved_of(group, names);
      const bool has_norm = !group.norms.empty();
      CHECK(moved.weights == !frozen[i]);
      if (!frozen[i]) continue;
      CHECK(moved.buffers == (has_norm && rule != Norm::hold));
      CHECK(moved.norm_weights == (has_norm && rule == Norm::train));
    }
  }
}

}  // namespace

TEST_CASE("frozen means frozen: under Norm::hold, every tensor of a frozen group is bit-identical") {
  for (unsigned seed = 0; seed < 60; ++seed) check_trial(seed, Norm::hold);
}

TEST_CASE("under Norm::track, statistics of frozen groups move, and nothing else does") {
  for (unsigned seed = 100; seed < 130; ++seed) check_trial(seed, Norm::track);
}

TEST_CASE("under Norm::train, norm layers of frozen groups train, and nothing else does") {
  for (unsigned seed = 200; seed < 230; ++seed) check_trial(seed, Norm::train);
}

TEST_CASE("trap 11: after unfreeze, fit, freeze, fit, what is frozen has not moved by momentum or decay") {
  for (int optimizer = 0; optimizer < 5; ++optimizer) {
    CAPTURE(optimizer);
    at::manual_seed(5);
    Dice dice{std::mt19937(5)};
    RandomNet net(dice);
    thaw::Learner learner(
        net, LayerGroups::per_child(net), thaw::cross_entropy,
        {.train = data(), .optimizer = [&](const LayerGroups& groups) { return make_optimizer(optimizer, groups); }});
    learner.unfreeze();
    learner.fit({.epochs = 2, .lr = 1e-2});
    net->forward(at::randn({8, 4})).square().sum().backward();  // stale gradients
    learner.freeze();
    const auto before = state_of(*net);
    learner.fit({.epochs = 2, .lr = 1e-2});
    for (const std::string& name : changed(before, *net)) CHECK(name.starts_with("head"));
    CHECK(changed(before, *net).size() == 2);
  }
}
