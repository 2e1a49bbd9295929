// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/find_group_lrs.hpp>

#include <torch/nn/modules/linear.h>
#include <torch/optim/sgd.h>

#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <cmath>
#include <thaw/data/in_memory.hpp>
#include <thaw/groups/optimizer_groups.hpp>
#include <thaw/train/loss.hpp>

#include "support/nets.hpp"

using Catch::Matchers::WithinRel;

namespace {

/// y = 10 (a . x) + b . x: gradient descent on the squares of y is stable in `a` up to a hundredth of the rate that it
/// is stable up to in `b`.
struct TwoScalesImpl : torch::nn::Module {
  torch::nn::Linear a = register_module("a", torch::nn::Linear(torch::nn::LinearOptions(4, 1).bias(false)));
  torch::nn::Linear b = register_module("b", torch::nn::Linear(torch::nn::LinearOptions(4, 1).bias(false)));
  at::Tensor forward(const at::Tensor& x) { return 10 * a(x) + b(x); }
};
TORCH_MODULE(TwoScales);

struct TwoScaleBench {
  TwoScales net;
  thaw::LayerGroups groups;
  thaw::Learner learner;

  TwoScaleBench() : groups(seeded(net)), learner(net, groups, thaw::mse, options()) {}
  static thaw::LayerGroups seeded(TwoScales& net) {
    at::manual_seed(5);
    net = TwoScales();
    return thaw::LayerGroups::cut_before(net, {"b"});
  }
  static thaw::LearnerOptions options() {
    const at::Tensor x = at::randn({64, 4});
    return {.train = thaw::InMemory({.input = x, .target = at::zeros({64, 1}), .batch_size = 64}),
            .optimizer = [](const thaw::LayerGroups& of) -> std::unique_ptr<torch::optim::Optimizer> {
              return std::make_unique<torch::optim::SGD>(thaw::param_groups(of), torch::optim::SGDOptions(0.1));
            }};
  }
};

const thaw::LRFinder wide_sweep{.start_lr = 1e-6, .end_lr = 100};

}  // namespace

TEST_CASE("each group's rate is as its own curve says, shared out among the groups") {
  TwoScaleBench setup;
  setup.learner.unfreeze();
  const auto before = thaw::test::state_of(*setup.net);
  const thaw::GroupLRs found = thaw::find_group_lrs(setup.learner, wide_sweep);
  REQUIRE(found.groups.size() == 2);
  REQUIRE(found.groups[0].suggested);
  REQUIRE(found.groups[1].suggested);
  const double a = found.groups[0].suggested->lr, b = found.groups[1].suggested->lr;
  CHECK((b / a > 30 && b / a < 300));  // 100, but for where the sweep's steps fall
  REQUIRE(found.lr);
  const std::vector<double> rates = (*found.lr)(2);
  CHECK_THAT(rates[0], WithinRel(a / 2, 1e-12));
  CHECK_THAT(rates[1], WithinRel(b / 2, 1e-12));
  CHECK(thaw::test::same_state(before, *setup.net));
  CHECK(found.groups[0].curve.ratios == std::vector{1.0, 0.0});
  CHECK(found.groups[1].curve.ratios == std::vector{0.0, 1.0});
  CHECK(found.groups[0].curve.before_step == 0);
  setup.learner.fit({.lr = 1e-6});
  const thaw::LRCurve curve = setup.learner.find_lr({.steps = 5, .rates = thaw::DiscriminativeLR::slice(0.1, 1)});
  CHECK(curve.before_step == setup.learner.history().steps_done);
  CHECK(curve.ratios == std::vector{0.1, 1.0});
}

TEST_CASE("a frozen group is left out, and gets a rate of 0") {
  TwoScaleBench setup;
  setup.learner.freeze_to(1);
  const thaw::GroupLRs found = thaw::find_group_lrs(setup.learner, wide_sweep);
  CHECK(found.groups[0].curve.lr.empty());
  CHECK_FALSE(found.groups[0].suggested);
  REQUIRE(found.lr);
  const std::vector<double> rates = (*found.lr)(2);
  CHECK(rates[0] == 0);
  CHECK(rates[1] == found.groups[1].suggested->lr);
}

TEST_CASE("where one thawed group's curve says nothing, there are no rates") {
  TwoScaleBench setup;
  setup.learner.unfreeze();
  const thaw::GroupLRs found = thaw::find_group_lrs(setup.learner, {.start_lr = 1e-9, .end_lr = 1e-3});
  CHECK_FALSE(found.groups[1].suggested);
  CHECK_FALSE(found.lr);
}
