// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <thaw/groups/freeze.hpp>

#include "support/groups.hpp"
#include "support/nets.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::LayerGroups;
using thaw::test::check_partition;
using thaw::test::names;

namespace {

torch::nn::Sequential small() {
  return torch::nn::Sequential(torch::nn::Linear(4, 5), torch::nn::BatchNorm1d(5), torch::nn::ReLU(),
                               torch::nn::Linear(5, 3));
}

torch::nn::Sequential clone_of(const torch::nn::Sequential& net) {
  return torch::nn::Sequential(std::dynamic_pointer_cast<torch::nn::SequentialImpl>(net->clone()));
}

}  // namespace

TEST_CASE(
    "trap 5: clone() sets requires_grad back to true; rebind gives the clone the same groups, frozen as they were") {
  torch::nn::Sequential net = small();
  net[3]->as<torch::nn::Linear>()->bias.set_requires_grad(false);  // never trains
  auto groups = LayerGroups::cut_at(net, {3});
  const thaw::NormRule rule{.frozen = thaw::Norm::hold, .thawed = thaw::Norm::hold};
  thaw::apply(thaw::FreezeTo{1}, groups, rule);
  torch::nn::Sequential clone = clone_of(net);
  for (const auto& parameter : clone->parameters()) CHECK(parameter.requires_grad());

  auto bound = groups.rebind(clone);
  check_partition(bound);
  REQUIRE(bound.size() == 2);
  CHECK(bound.module() == clone.ptr());
  CHECK(bound.frozen() == groups.frozen());
  CHECK(bound.norm_rule().thawed == thaw::Norm::hold);
  CHECK_FALSE(clone[1]->is_training());
  CHECK(clone[3]->is_training());
  for (std::size_t i = 0; i < 2; ++i) CHECK(names(bound[i]) == names(groups[i]));
  const auto mine = net->named_parameters();
  for (const auto& parameter : clone->named_parameters()) {
    CAPTURE(parameter.key());
    CHECK(parameter.value().requires_grad() == mine[parameter.key()].requires_grad());
    CHECK_FALSE(parameter.value().is_same(mine[parameter.key()]));
  }
  thaw::apply(thaw::Unfrozen{}, bound);
  CHECK(clone[0]->as<torch::nn::Linear>()->weight.requires_grad());
  CHECK_FALSE(clone[3]->as<torch::nn::Linear>()->bias.requires_grad());
  CHECK_FALSE(net[0]->as<torch::nn::Linear>()->weight.requires_grad());  // the original is left alone
}

TEST_CASE("rebind leaves a module in evaluation mode there") {
  torch::nn::Sequential net = small();
  const auto groups = LayerGroups::cut_at(net, {3});
  torch::nn::Sequential clone = clone_of(net);
  clone->eval();
  (void)groups.rebind(clone);
  CHECK_FALSE(clone->is_training());
}

TEST_CASE("rebind keeps groups of every maker, and gives tied weights that a clone unties their own groups") {
  torch::nn::Sequential net = small();
  const auto groups = LayerGroups::matching(net, {{"b", {"1.*", "3.*"}}, {"a", {"0.*"}}});
  const auto bound = groups.rebind(clone_of(net));
  CHECK(bound[0].name == "b");
  CHECK(names(bound[1]) == std::vector<std::string>{"0.weight", "0.bias"});

  struct TwinsImpl : torch::nn::Module {
    explicit TwinsImpl(bool tied) {
      const auto weight = register_parameter("weight", at::randn({2, 2}));
      const auto child = register_module("child", torch::nn::Linear(2, 2));
      child->register_parameter("tied", tied ? weight : at::randn({2, 2}));
    }
  };
  const auto tied =
      LayerGroups::matching(std::make_shared<TwinsImpl>(true), {{"in", {"weight"}}, {"out", {"child.*"}}});
  CHECK(names(tied[1]) == std::vector<std::string>{"child.weight", "child.bias"});
  const auto untied = tied.rebind(std::make_shared<TwinsImpl>(false));
  check_partition(untied);
  CHECK(names(untied[1]) == std::vector<std::string>{"child.weight", "child.bias", "child.tied"});
}

TEST_CASE("rebind refuses a module with other names, and says which") {
  torch::nn::Sequential net = small();
  const auto groups = LayerGroups::cut_at(net, {3});
  torch::nn::Sequential other{torch::nn::Linear(4, 5), torch::nn::ReLU(), torch::nn::Linear(5, 3),
                              torch::nn::Linear(torch::nn::LinearOptions(3, 3).bias(false))};
  CHECK_THROWS_WITH(
      groups.rebind(other),
      ContainsSubstring("it lacks 1.bias, 1.num_batches_tracked, 1.running_mean, 1.running_var, 1.weight, "
                        "3.bias") &&
          ContainsSubstring("it also has 2.weight, 2.bias"));
}
