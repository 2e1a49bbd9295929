// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/report/groups_table.hpp>

#include <torch/optim/adamw.h>
#include <torch/optim/lbfgs.h>
#include <torch/optim/sgd.h>

#include <catch2/catch_test_macros.hpp>
#include <thaw/groups/freeze.hpp>
#include <thaw/groups/optimizer_groups.hpp>
#include <thaw/optim/adamw.hpp>

#include "support/nets.hpp"

using thaw::groups_table;
using thaw::LayerGroups;
using thaw::test::TinyNet;

TEST_CASE("the groups as a table, without an optimizer") {
  TinyNet net(1000);
  auto groups = LayerGroups::cut_before(net, {"body", "head"});
  thaw::apply(thaw::FreezeTo{1}, groups);
  CHECK(to_text(groups_table(groups)) ==
        "group  modules          parameters  trained  rate  decay  norm\n"
        "-----  ---------------  ----------  -------  ----  -----  ---------\n"
        "stem   stem.0 … stem.1          35        0  -     -      hold (1)\n"
        "body   body.0 … body.1          40       40  -     -      train (1)\n"
        "head   head                  6,000    6,000  -     -      -\n");
  CHECK(fmt::format("{}", groups) == to_text(groups));
}

TEST_CASE("with an optimizer, rates and decays are those of its live groups") {
  TinyNet net;
  auto groups = LayerGroups::cut_before(net, {"body", "head"});
  thaw::AdamW optimizer(groups);
  thaw::OptimizerGroups(optimizer, groups).set_lr(std::vector{1e-5, 1e-3, 1e-2});
  thaw::apply(thaw::FreezeTo{1}, groups, {.frozen = thaw::Norm::train, .thawed = thaw::Norm::hold});
  const thaw::Table table = groups_table(groups, optimizer);
  CHECK(table.rows[0] ==
        std::vector<std::string>{"stem", "stem.0 … stem.1", "35", "10", "1e-05", "0.01, 0", "train (1)"});
  CHECK(table.rows[1] ==
        std::vector<std::string>{"body", "body.0 … body.1", "40", "40", "0.001", "0.01, 0", "hold (1)"});
  CHECK(table.rows[2] == std::vector<std::string>{"head", "head", "18", "18", "0.01", "0.01, 0", "-"});
}

TEST_CASE("what an optimizer does not hold, or does not have, is a dash; several rates are all shown") {
  TinyNet net;
  const auto groups = LayerGroups::cut_before(net, {"head"});
  torch::optim::SGD head({net->head->weight}, torch::optim::SGDOptions(0.1));
  head.add_param_group(torch::optim::OptimizerParamGroup({net->head->bias}));
  head.param_groups()[1].options().set_lr(0.2);
  const thaw::Table table = groups_table(groups, head);
  CHECK(table.rows[0][4] == "-");
  CHECK(table.rows[1][4] == "0.1, 0.2");
  CHECK(table.rows[1][5] == "0");
  torch::optim::LBFGS lbfgs(net->parameters());
  CHECK(groups_table(groups, lbfgs).rows[0][4] == "1");
  CHECK(groups_table(groups, lbfgs).rows[0][5] == "-");
}

TEST_CASE("parameters of the model itself, and those frozen by hand, are shown as they are") {
  struct ScaledImpl : torch::nn::Module {
    ScaledImpl() {
      register_parameter("scale", at::randn({3}));
      register_module("fc", torch::nn::Linear(3, 2));
    }
  };
  const auto model = std::make_shared<ScaledImpl>();
  const auto groups = LayerGroups::cut_before(model, {});
  model->named_parameters()["fc.weight"].set_requires_grad(false);
  CHECK(groups_table(groups).rows[0] == std::vector<std::string>{"fc", "(model) … fc", "11", "5", "-", "-", "-"});
}
