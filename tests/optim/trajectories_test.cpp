// SPDX-License-Identifier: BSD-3-Clause
// Ten steps, group by group frozen and thawed in a loop of one's own, against what PyTorch and fastai do.

#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include <ATen/ops/mse_loss.h>
#include <ATen/ops/tensor.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <functional>
#include <memory>
#include <thaw/groups/freeze.hpp>
#include <thaw/groups/optimizer_groups.hpp>
#include <thaw/optim/adamw.hpp>

#include "support/data.hpp"
#include "support/nets.hpp"

using Catch::Matchers::WithinRel;
using thaw::LayerGroups;

namespace {

/// W2 tanh(W1 x + b1) + b2: children "first" and "second".
struct NetImpl : torch::nn::Module {
  NetImpl() {
    first = register_module("first", torch::nn::Linear(4, 6));
    second = register_module("second", torch::nn::Linear(6, 3));
  }
  at::Tensor forward(const at::Tensor& x) { return second->forward(first->forward(x).tanh()); }
  torch::nn::Linear first{nullptr}, second{nullptr};
};
TORCH_MODULE(Net);

at::Tensor tensor(const nlohmann::json& value, at::ScalarType dtype) {
  std::vector<double> numbers;
  std::vector<std::int64_t> sizes{static_cast<std::int64_t>(value.size())};
  if (!value[0].is_array())
    numbers = value.get<std::vector<double>>();
  else
    for (const auto& row : value)
      for (const auto& number : row) numbers.push_back(number.get<double>());
  if (value[0].is_array()) sizes.push_back(static_cast<std::int64_t>(value[0].size()));
  return at::tensor(numbers, at::kDouble).reshape(sizes).to(dtype);
}

struct Recipe {
  std::function<std::unique_ptr<torch::optim::Optimizer>(const LayerGroups&)> optimizer;
  double decoupled_decay = 0;  ///< done by the loop, before the step
};

/// Python's optimizers as LibTorch's. Rates here are placeholders: OptimizerGroups writes them.
Recipe recipe(const std::string& name, const nlohmann::json& options) {
  using Made = std::unique_ptr<torch::optim::Optimizer>;
  if (name == "adam")
    return {[=](const LayerGroups& groups) -> Made {
      return std::make_unique<torch::optim::Adam>(
          thaw::param_groups(groups),
          torch::optim::AdamOptions(1)
              .eps(options.at("eps"))
              .betas({options.at("betas")[0].get<double>(), options.at("betas")[1].get<double>()}));
    }};
  if (name == "adamw" || name == "fastai_adam")
    // fastai's Adam is AdamW: p *= 1 - lr wd, and eps is added outside of the root. Its defaults are thaw's. Both
    // decay biases here (fastai leaves them out in its Learner), thaw::AdamW does not, so that is set on live groups.
    return {[=](const LayerGroups& groups) -> Made {
      auto made = std::make_unique<thaw::AdamW>(
          groups, name == "adamw" ? torch::optim::AdamWOptions(1) : thaw::AdamW::fastai_defaults());
      for (auto& group : made->param_groups())
        static_cast<torch::optim::AdamWOptions&>(group.options()).weight_decay(options.value("weight_decay", 0.01));
      return made;
    }};
  // fastai's SGD decays apart from the gradient, so that decay has no momentum; LibTorch's SGD cannot say that (its
  // weight decay joins the gradient), so the loop does it.
  const bool fastai = name == "fastai_sgd_mom";
  return {.optimizer = [=](const LayerGroups& groups) -> Made {
            return std::make_unique<torch::optim::SGD>(thaw::param_groups(groups),
                                                       torch::optim::SGDOptions(1)
                                                           .momentum(options.at(fastai ? "mom" : "momentum"))
                                                           .weight_decay(options.value("weight_decay", 0.0)));
          },
          .decoupled_decay = fastai ? options.at("wd").get<double>() : 0};
}

}  // namespace

TEST_CASE("an own loop of thaw's pieces goes through PyTorch's and fastai's trajectories, frozen and thawed") {
  const auto golden = thaw::test::json_fixture("optim/trajectories.json");
  // Rounding alone may differ: the order of sums in a product of matrices. float32 has 1.2e-7 per operation; ten steps
  // stay within some of them.
  struct Precision {
    const char* name;
    at::ScalarType dtype;
    double relative, absolute;
  };
  for (const auto& [dtype_name, dtype, relative, absolute] :
       {Precision{"f64", at::kDouble, 1e-12, 1e-15}, Precision{"f32", at::kFloat, 2e-6, 1e-7}})
    for (const auto& [name, run] : golden[dtype_name]["runs"].items()) {
      CAPTURE(dtype_name, name);
      const auto& data = golden[dtype_name];
      Net net;
      net->to(dtype);
      {
        const c10::NoGradGuard no_grad;
        for (std::size_t i = 0; i < 4; ++i) net->parameters()[i].copy_(tensor(data["init"][i], dtype));
      }
      auto groups = LayerGroups::cut_before(net, {"second"});
      const Recipe how = recipe(name, run["options"]);
      const auto optimizer = how.optimizer(groups);
      const thaw::OptimizerGroups live{*optimizer, groups};
      const auto policy = [](const thaw::GroupRef& group, const thaw::Progress& at) {
        return group.index == 0 && at.step < 5;
      };
      // by name: Clang before 16 captures no structured bindings otherwise
      const auto check_parameters = [&, dtype = dtype, relative = relative,
                                     absolute = absolute](const nlohmann::json& expected) {
        for (std::size_t i = 0; i < 4; ++i) {
          CAPTURE(i);
          CHECK(at::allclose(net->parameters()[i], tensor(expected[i], dtype), relative, absolute));
        }
      };

      for (const thaw::Progress at : thaw::steps(10)) {
        CAPTURE(at.step);
        thaw::forget_state(*optimizer, thaw::apply(policy, groups, {}, at));
        live.set_lr(data["lrs"].get<std::vector<double>>());
        const auto i = static_cast<std::size_t>(at.step);
        const at::Tensor loss = at::mse_loss(net->forward(tensor(data["x"][i], dtype)), tensor(data["t"][i], dtype));
        CHECK_THAT(loss.item<double>(), WithinRel(run["losses"][i].get<double>(), relative));
        loss.backward();
        if (how.decoupled_decay > 0) {
          const c10::NoGradGuard no_grad;
          for (std::size_t g = 0; g < groups.size(); ++g)
            for (const auto& parameter : groups[g].parameters)
              if (at::Tensor weight = parameter.tensor; weight.grad().defined())
                weight.mul_(1 - live.lr()[g] * how.decoupled_decay);
        }
        optimizer->step();
        optimizer->zero_grad();
        if (at.step == 4) {
          check_parameters(run["after_4"]);
          for (std::size_t k : {0, 1}) CHECK(at::equal(net->parameters()[k], tensor(data["init"][k], dtype)));
        }
      }
      check_parameters(run["final"]);
    }
}
