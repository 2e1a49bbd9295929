// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/groups/freeze.hpp>

#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/instancenorm.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/randint.h>
#include <catch2/catch_test_macros.hpp>
#include <thaw/groups/gradual_unfreeze.hpp>
#include <thaw/groups/optimizer_groups.hpp>

#include "support/nets.hpp"

using thaw::FreezeTo;
using thaw::LayerGroups;
using thaw::Norm;
using thaw::test::any_starts_with;
using thaw::test::changed;
using thaw::test::state_of;
using thaw::test::TinyNet;

namespace {

void train_step(TinyNet& net, torch::optim::Optimizer& optimizer) {
  at::cross_entropy_loss(net->forward(at::randn({8, 4})), at::randint(3, {8}, at::kLong)).backward();
  optimizer.step();
  optimizer.zero_grad();
}

}  // namespace

TEST_CASE("apply freezes and thaws, and reports what was thawed") {
  TinyNet net;
  auto groups = LayerGroups::cut_before(net, {"body", "head"});
  CHECK(thaw::apply(FreezeTo{-1}, groups).empty());
  CHECK(groups.frozen() == std::vector{true, true, false});
  CHECK_FALSE(net->stem->parameters()[0].requires_grad());
  CHECK(net->head->weight.requires_grad());
  CHECK(thaw::apply(FreezeTo{1}, groups).size() == 4);
  CHECK(thaw::apply(thaw::Unfrozen{}, groups).size() == 4);
}

TEST_CASE("trap 2: a frozen weight with a leftover gradient stays where it is") {
  for (const bool set_to_none : {true, false}) {
    TinyNet net;
    auto groups = LayerGroups::cut_before(net, {"head"});
    torch::optim::SGD optimizer(net->parameters(), torch::optim::SGDOptions(0.1).momentum(0.9).weight_decay(0.1));
    train_step(net, optimizer);
    at::cross_entropy_loss(net->forward(at::randn({8, 4})), at::randint(3, {8}, at::kLong)).backward();
    if (!set_to_none) optimizer.zero_grad(false);
    thaw::apply(FreezeTo{-1}, groups);
    const auto before = state_of(*net);
    optimizer.step();
    CHECK_FALSE(any_starts_with(changed(before, *net), "stem"));
    CHECK_FALSE(net->stem->parameters()[0].grad().defined());
  }
}

TEST_CASE("trap 3: held batch norm stays held at each groups.train(), though the module's train() would wake it") {
  TinyNet net;
  auto groups = LayerGroups::cut_before(net, {"body", "head"});
  thaw::apply(FreezeTo{1}, groups);
  const auto is_training = [](torch::nn::Sequential& block) { return block[1]->is_training(); };
  CHECK_FALSE(is_training(net->stem));
  CHECK(is_training(net->body));
  net->train();
  CHECK(is_training(net->stem));
  groups.train();
  CHECK_FALSE(is_training(net->stem));
  CHECK(is_training(net->body));
  groups.eval();
  CHECK_FALSE(net->is_training());
}

TEST_CASE("norm rules say which statistics move and which norm weights train") {
  struct Case {
    Norm frozen, thawed;
    bool frozen_statistics, frozen_affine, thawed_statistics;
  };
  for (const Case& rule :
       {Case{Norm::hold, Norm::train, false, false, true}, Case{Norm::track, Norm::train, true, false, true},
        Case{Norm::train, Norm::train, true, true, true}, Case{Norm::hold, Norm::hold, false, false, false}}) {
    TinyNet net;
    auto groups = LayerGroups::cut_before(net, {"body", "head"});
    torch::optim::SGD optimizer(net->parameters(), torch::optim::SGDOptions(0.1));
    thaw::apply(FreezeTo{1}, groups, {.frozen = rule.frozen, .thawed = rule.thawed});
    const auto before = state_of(*net);
    for (int i = 0; i < 3; ++i) train_step(net, optimizer);
    const auto moved = changed(before, *net);
    CHECK(any_starts_with(moved, "stem.1.running_mean") == rule.frozen_statistics);
    CHECK(any_starts_with(moved, "stem.1.weight") == rule.frozen_affine);
    CHECK_FALSE(any_starts_with(moved, "stem.0"));
    CHECK(any_starts_with(moved, "body.1.running_mean") == rule.thawed_statistics);
    CHECK(any_starts_with(moved, "body.1.weight"));
    CHECK(any_starts_with(moved, "body.0.weight"));
  }
}

TEST_CASE("norm rules hold for instance norm with running statistics as well") {
  for (const auto& [rule, statistics, affine] :
       {std::tuple{Norm::hold, false, false}, {Norm::track, true, false}, {Norm::train, true, true}}) {
    torch::nn::Sequential net(
        torch::nn::Conv1d(3, 4, 1),
        torch::nn::InstanceNorm1d(torch::nn::InstanceNorm1dOptions(4).affine(true).track_running_stats(true)),
        torch::nn::Flatten(), torch::nn::Linear(20, 2));
    auto groups = LayerGroups::cut_at(net, {3});
    REQUIRE(groups[0].norms.size() == 1);
    thaw::apply(FreezeTo{1}, groups, {.frozen = rule});
    torch::optim::SGD optimizer(net->parameters(), torch::optim::SGDOptions(0.1));
    const auto before = state_of(*net);
    for (int i = 0; i < 2; ++i) {
      groups.train();
      net->forward(at::randn({8, 3, 5})).square().sum().backward();
      optimizer.step();
      optimizer.zero_grad();
    }
    const auto moved = changed(before, *net);
    CHECK(any_starts_with(moved, "1.running_mean") == statistics);
    CHECK(any_starts_with(moved, "1.weight") == affine);
    CHECK_FALSE(any_starts_with(moved, "0"));
    CHECK(any_starts_with(moved, "3"));
  }
}

TEST_CASE("frozen means frozen: after training, every tensor of a frozen group is bit-identical") {
  for (const int to : {1, 2}) {
    for (const bool adam : {false, true}) {
      TinyNet net;
      auto groups = LayerGroups::cut_before(net, {"body", "head"});
      std::unique_ptr<torch::optim::Optimizer> optimizer;
      if (adam)
        optimizer = std::make_unique<torch::optim::AdamW>(net->parameters());
      else
        optimizer = std::make_unique<torch::optim::SGD>(net->parameters(),
                                                        torch::optim::SGDOptions(0.1).momentum(0.9).weight_decay(0.1));
      for (int i = 0; i < 3; ++i) train_step(net, *optimizer);  // momentum and state for all
      thaw::apply(FreezeTo{to}, groups);
      const auto before = state_of(*net);
      for (int i = 0; i < 5; ++i) {
        groups.train();
        train_step(net, *optimizer);
      }
      const auto moved = changed(before, *net);
      CHECK_FALSE(any_starts_with(moved, "stem"));
      CHECK(any_starts_with(moved, "body") == (to == 1));
      CHECK(any_starts_with(moved, "head"));
    }
  }
}

TEST_CASE("apply refuses a policy that does not fit, before changing anything") {
  TinyNet net;
  auto groups = LayerGroups::cut_before(net, {"head"});
  CHECK_THROWS_AS(thaw::apply(FreezeTo{2}, groups), thaw::ConfigError);
  CHECK(groups.frozen() == std::vector{false, false});
}

TEST_CASE("frozen_groups checks the policy; an empty one leaves things as they are") {
  TinyNet net;
  auto groups = LayerGroups::cut_before(net, {"body", "head"});
  CHECK_THROWS_AS(thaw::frozen_groups(thaw::GradualUnfreeze{.every = thaw::Epochs{0}}, groups), thaw::ConfigError);
  (void)thaw::apply(thaw::FreezeTo{1}, groups);
  CHECK(thaw::frozen_groups({}, groups) == std::vector{true, false, false});
  CHECK(thaw::apply({}, groups).empty());
  CHECK(groups.frozen() == std::vector{true, false, false});
}
