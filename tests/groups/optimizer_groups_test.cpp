// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/groups/optimizer_groups.hpp>

#include <torch/optim/lbfgs.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support/nets.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::LayerGroups;
using thaw::OptimizerGroups;
using thaw::test::TinyNet;

namespace {

struct Optimizers {
  explicit Optimizers(const std::vector<torch::optim::OptimizerParamGroup>& params)
      : sgd(params, torch::optim::SGDOptions(0.1)),
        adam(params, torch::optim::AdamOptions()),
        adamw(params, torch::optim::AdamWOptions()),
        rmsprop(params, torch::optim::RMSpropOptions()),
        adagrad(params, torch::optim::AdagradOptions()) {}

  torch::optim::SGD sgd;
  torch::optim::Adam adam;
  torch::optim::AdamW adamw;
  torch::optim::RMSprop rmsprop;
  torch::optim::Adagrad adagrad;
  std::vector<torch::optim::Optimizer*> with_momentum = {&sgd, &adam, &adamw, &rmsprop};
  std::vector<torch::optim::Optimizer*> with_decay = {&sgd, &adam, &adamw, &rmsprop, &adagrad};
};

}  // namespace

TEST_CASE("param_groups gives each layer group its decaying and its exempt parameters, all of them once") {
  TinyNet net;
  const auto groups = LayerGroups::cut_before(net, {"head"});
  const auto params = thaw::param_groups(groups);
  REQUIRE(params.size() == 4);
  CHECK(params[0].params().size() == 2);
  CHECK(params[1].params().size() == 6);
  CHECK(params[2].params()[0].is_same(net->head->weight));
  CHECK(params[3].params()[0].is_same(net->head->bias));
}

TEST_CASE("trap 1: rates equal to LibTorch's class default reach the live groups") {
  TinyNet net;
  const auto groups = LayerGroups::cut_before(net, {"body", "head"});
  torch::optim::AdamW optimizer(thaw::param_groups(groups), torch::optim::AdamWOptions(5e-4));
  const OptimizerGroups live(optimizer, groups);
  live.set_lr(std::vector{1e-5, 1e-3, 1e-2});
  CHECK(live.lr() == std::vector{1e-5, 1e-3, 1e-2});
  CHECK(optimizer.param_groups()[2].options().get_lr() == 1e-3);
  CHECK(optimizer.param_groups()[3].options().get_lr() == 1e-3);
}

TEST_CASE("momentum is SGD's and RMSprop's momentum, Adam's and AdamW's beta1") {
  TinyNet net;
  const auto groups = LayerGroups::cut_before(net, {"head"});
  const auto params = thaw::param_groups(groups);
  Optimizers all(params);
  for (torch::optim::Optimizer* optimizer : all.with_momentum) {
    const OptimizerGroups live(*optimizer, groups);
    live.set_momentum(0.87);
    CHECK(live.momentum() == 0.87);
  }
  CHECK(std::get<1>(static_cast<torch::optim::AdamOptions&>(all.adam.param_groups()[0].options()).betas()) == 0.999);
}

TEST_CASE("weight decay is written for a group's weights alone, of every optimizer that has one") {
  TinyNet net;
  const auto groups = LayerGroups::cut_before(net, {"head"});
  const auto params = thaw::param_groups(groups);
  Optimizers all(params);
  for (torch::optim::Optimizer* optimizer : all.with_decay) {
    const OptimizerGroups live(*optimizer, groups);
    const auto decay = [&](std::size_t i) { return thaw::read_weight_decay(optimizer->param_groups()[i].options()); };
    const auto before = decay(0);
    live.set_weight_decay(1, 0.7);
    CHECK(live.weight_decay(1) == 0.7);
    CHECK(live.weight_decay(0) == before);
    CHECK(decay(2) == 0.7);     // the head's weight
    CHECK(decay(3) == before);  // its bias
  }
  torch::optim::LBFGS none(params[0].params());
  CHECK_FALSE(thaw::write_weight_decay(none.param_groups()[0].options(), 1));
}

TEST_CASE("groups are matched by tensor identity, in any order of the optimizer's own") {
  TinyNet net;
  const auto groups = LayerGroups::cut_before(net, {"head"});
  std::vector<torch::optim::OptimizerParamGroup> params;
  params.emplace_back(net->head->parameters());
  auto rest = net->stem->parameters();
  for (const auto& parameter : net->body->parameters()) rest.push_back(parameter);
  params.emplace_back(rest);
  torch::optim::SGD optimizer(params, torch::optim::SGDOptions(0.1));
  OptimizerGroups(optimizer, groups).set_lr(std::vector{1e-4, 1e-2});
  CHECK(optimizer.param_groups()[0].options().get_lr() == 1e-2);
  CHECK(optimizer.param_groups()[1].options().get_lr() == 1e-4);
}

TEST_CASE("an optimizer that lacks a parameter, or mixes layer groups, is refused") {
  TinyNet net;
  const auto groups = LayerGroups::cut_before(net, {"head"});
  torch::optim::SGD partial(net->head->parameters(), torch::optim::SGDOptions(0.1));
  CHECK_THROWS_WITH(OptimizerGroups(partial, groups), ContainsSubstring("does not hold \"stem.0.weight\""));
  torch::optim::SGD mixed(net->parameters(), torch::optim::SGDOptions(0.1));
  CHECK_THROWS_WITH(OptimizerGroups(mixed, groups), ContainsSubstring("spans the layer groups \"stem\" and \"head\""));
}

TEST_CASE("trap 5: a parameter that the optimizer holds twice is refused, with its name and both groups") {
  TinyNet net;
  const auto groups = LayerGroups::cut_before(net, {"head"});
  torch::optim::SGD optimizer(thaw::param_groups(groups), torch::optim::SGDOptions(0.1));
  CHECK_NOTHROW(OptimizerGroups(optimizer, groups));
  optimizer.add_param_group(torch::optim::OptimizerParamGroup({net->head->weight}));
  CHECK_THROWS_WITH(OptimizerGroups(optimizer, groups),
                    ContainsSubstring("holds \"head.weight\" twice, in its groups 2 and 4"));
  torch::optim::SGD other(thaw::param_groups(groups), torch::optim::SGDOptions(0.1));
  const at::Tensor foreign = at::randn({2});
  other.add_param_group(torch::optim::OptimizerParamGroup({foreign, foreign}));
  CHECK_NOTHROW(OptimizerGroups(other, groups));
}

TEST_CASE("forget_state drops the state of these parameters and no other") {
  TinyNet net;
  torch::optim::AdamW optimizer(net->parameters());
  net->forward(at::randn({4, 4})).sum().backward();
  optimizer.step();
  const std::size_t before = optimizer.state().size();
  thaw::forget_state(optimizer, net->head->parameters());
  CHECK(optimizer.state().size() == before - 2);
  CHECK(optimizer.state().find(net->stem->parameters()[0].unsafeGetTensorImpl()) != optimizer.state().end());
}

TEST_CASE("a schedule's value is written to every group: its peak rate times the multiplier, and the momentum") {
  TinyNet net;
  const auto groups = thaw::LayerGroups::cut_before(net, {"body", "head"});
  torch::optim::SGD optimizer(thaw::param_groups(groups), torch::optim::SGDOptions(1).momentum(0.9));
  const thaw::OptimizerGroups live(optimizer, groups);
  live.set({0.5, 0.85}, std::vector{1e-3, 1e-2, 1e-1});
  CHECK(live.lr() == std::vector{0.5e-3, 0.5e-2, 0.5e-1});
  CHECK(live.momentum() == 0.85);
  live.set(2.0, std::vector{1., 2., 3.});
  CHECK(live.lr() == std::vector{2., 4., 6.});
  CHECK(live.momentum() == 0.85);
}

TEST_CASE("forget_state leaves Adagrad, which cannot do without state, a fresh one") {
  TinyNet net;
  const auto groups = thaw::LayerGroups::cut_before(net, {});
  torch::optim::Adagrad optimizer(thaw::param_groups(groups),
                                  torch::optim::AdagradOptions(0.1).initial_accumulator_value(0.5));
  const auto step = [&] {
    net->forward(at::randn({8, 4})).sum().backward();
    optimizer.step();
  };
  step();
  thaw::forget_state(optimizer);
  for (const at::Tensor& p : net->parameters()) {
    const auto& state =
        static_cast<const torch::optim::AdagradParamState&>(*optimizer.state().at(p.unsafeGetTensorImpl()));
    CHECK(state.step() == 0);
    CHECK(state.sum().eq(0.5).all().item<bool>());
  }
  CHECK_NOTHROW(step());
}

TEST_CASE("another number of rates than layer groups is refused, and nothing is written") {
  TinyNet net;
  const auto groups = thaw::LayerGroups::cut_before(net, {"body", "head"});
  torch::optim::SGD optimizer(thaw::param_groups(groups), torch::optim::SGDOptions(0.1));
  const thaw::OptimizerGroups live{optimizer, groups};
  for (const std::vector<double>& rates : {std::vector{1., 2.}, std::vector{1., 2., 3., 4.}, std::vector<double>{}}) {
    CHECK_THROWS_AS(live.set_lr(rates), thaw::ConfigError);
    CHECK_THROWS_AS(live.set({1}, rates), thaw::ConfigError);
  }
  CHECK(live.lr() == std::vector{0.1, 0.1, 0.1});
}

TEST_CASE("an optimizer that is made of groups with decay by name decays what they name") {
  TinyNet net;
  const auto groups = thaw::LayerGroups::cut_before(net, {"head"});
  const auto all = groups.with_decay({"*"});
  CHECK(thaw::param_groups(all).size() == 2);
  torch::optim::SGD optimizer(thaw::param_groups(all), torch::optim::SGDOptions(0.1));
  const thaw::OptimizerGroups live(optimizer, all);
  live.set_weight_decay(1, 0.5);
  CHECK(thaw::read_weight_decay(optimizer.param_groups()[1].options()) == 0.5);
  CHECK(optimizer.param_groups()[1].params().size() == 2);  // the head's weight and its bias
  CHECK_FALSE(thaw::OptimizerGroups(optimizer, groups.without_decay({"*"})).weight_decay(1).has_value());
}
