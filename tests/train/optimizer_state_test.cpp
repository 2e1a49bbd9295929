// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/detail/optimizer_state.hpp>

#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <ATen/ops/full_like.h>
#include <ATen/ops/ones.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <memory>
#include <set>
#include <string>
#include <vector>

using thaw::RunState;
using thaw::StateVisitor;
using Keys = std::set<std::string>;

namespace {

/// A convolution and a linear layer, and a tensor that is in no layer group.
struct ConvAndLinear {
  torch::nn::Sequential module{torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 2, 3).bias(false)),
                               torch::nn::Linear(2, 2)};
  thaw::LayerGroups groups = thaw::LayerGroups::per_child(module);
  at::Tensor kernel = module->parameters()[0], weight = module->parameters()[1], bias = module->parameters()[2];
  at::Tensor outside = at::ones({2}).requires_grad_();

  ConvAndLinear() { kernel.set_data(kernel.contiguous(at::MemoryFormat::ChannelsLast)); }
  /// Two groups: the convolution and what is outside, the linear layer.
  [[nodiscard]] std::vector<torch::optim::OptimizerParamGroup> parts() const {
    return {std::vector<at::Tensor>{kernel, outside}, std::vector<at::Tensor>{weight, bias}};
  }
  void step(torch::optim::Optimizer& optimizer) const {
    for (const at::Tensor& each : {kernel, outside, weight, bias}) each.mutable_grad() = at::full_like(each, 0.5);
    optimizer.step();
  }
};

/// Options of a class that thaw does not know.
struct MyOptions : torch::optim::SGDOptions {
  using SGDOptions::SGDOptions;
  [[nodiscard]] std::unique_ptr<torch::optim::OptimizerOptions> clone() const override {
    return std::make_unique<MyOptions>(*this);
  }
};

RunState optimizer_written(torch::optim::Optimizer& optimizer, const ConvAndLinear& net) {
  RunState state;
  thaw::detail::visit_optimizer(StateVisitor(state, /*reading=*/false), optimizer, net.groups);
  return state;
}

void read_optimizer(RunState state, torch::optim::Optimizer& optimizer, const ConvAndLinear& net) {
  thaw::detail::visit_optimizer(StateVisitor(state, /*reading=*/true), optimizer, net.groups);
}

Keys keys_of(const RunState& state) {
  Keys keys;
  for (const auto& [key, tensor] : state) keys.insert(key);
  return keys;
}

torch::optim::AdamWParamState& adamw_state(torch::optim::Optimizer& optimizer, const at::Tensor& parameter) {
  return static_cast<torch::optim::AdamWParamState&>(*optimizer.state().at(parameter.unsafeGetTensorImpl()));
}

/// Of another library's optimizer.
struct ForeignState : torch::optim::OptimizerCloneableParamState<ForeignState> {
  void serialize(torch::serialize::InputArchive&) override {}
  void serialize(torch::serialize::OutputArchive&) const override {}
};

}  // namespace

TEST_CASE("an optimizer's state is written by the names of parameters, of those in no layer group by their place") {
  const ConvAndLinear net;
  torch::optim::SGD optimizer(net.parts(), torch::optim::SGDOptions(0.1).momentum(0.9));
  net.step(optimizer);
  optimizer.param_groups()[1].options().set_lr(0.2);
  const RunState state = optimizer_written(optimizer, net);
  CHECK(keys_of(state) == Keys{"kind", "state/0.weight/there", "state/0.weight/momentum_buffer", "state/0.1/there",
                               "state/0.1/momentum_buffer", "state/1.weight/there", "state/1.weight/momentum_buffer",
                               "state/1.bias/there", "state/1.bias/momentum_buffer", "groups/0.weight/lr",
                               "groups/0.weight/momentum", "groups/1.weight/lr", "groups/1.weight/momentum"});
  CHECK(state.at("groups/0.weight/lr").item<double>() == 0.1);
  CHECK(state.at("groups/1.weight/lr").item<double>() == 0.2);
}

TEST_CASE("an optimizer with one group has its kind, too") {
  const ConvAndLinear net;
  torch::optim::AdamW optimizer(std::vector<at::Tensor>{net.kernel, net.weight, net.bias});
  CHECK(thaw::detail::optimizer_kind(optimizer) == "AdamWOptions");
}

TEST_CASE("what goes with a parameter is laid out as the parameter is, however it was written") {
  const ConvAndLinear net;
  torch::optim::AdamW first(net.parts()), second(net.parts());
  net.step(first);
  RunState state = optimizer_written(first, net);
  at::Tensor& mean = state.at("state/0.weight/exp_avg");
  CHECK(mean.const_data_ptr() == adamw_state(first, net.kernel).exp_avg().const_data_ptr());  // a handle
  mean = mean.contiguous().to(at::kDouble);                                                   // as a file may have it
  read_optimizer(state, second, net);
  const at::Tensor read = adamw_state(second, net.kernel).exp_avg();
  CHECK(read.strides() == net.kernel.strides());
  CHECK(read.scalar_type() == at::kDouble);
  CHECK(read.equal(mean));
  CHECK_FALSE(read.is_same(mean));
  CHECK(adamw_state(second, net.kernel).step() == 1);
}

TEST_CASE("a parameter of which a checkpoint has no state has none after it was read") {
  const ConvAndLinear net;
  torch::optim::AdamW stepped(net.parts()), fresh(net.parts());
  net.step(stepped);
  read_optimizer(optimizer_written(fresh, net), stepped, net);
  CHECK(stepped.state().empty());
}

TEST_CASE(
    "LibTorch's own states are written tensor by tensor, those of others as the bytes of the optimizer's save()") {
  using namespace torch::optim;
  const ConvAndLinear net;
  std::vector<std::unique_ptr<Optimizer>> own;
  own.push_back(std::make_unique<AdamW>(net.parts()));
  own.push_back(std::make_unique<Adam>(net.parts()));
  own.push_back(std::make_unique<SGD>(net.parts(), SGDOptions(0.1).momentum(0.9)));
  own.push_back(std::make_unique<RMSprop>(net.parts()));
  own.push_back(std::make_unique<Adagrad>(net.parts()));
  for (const auto& optimizer : own) {
    INFO(thaw::detail::optimizer_kind(*optimizer));
    net.step(*optimizer);
    CHECK_FALSE(thaw::detail::has_foreign_state(*optimizer));
    const RunState state = optimizer_written(*optimizer, net);
    CHECK_FALSE(state.contains("archive"));
    CHECK(state.contains("state/1.bias/there"));
  }
  // an AdamW whose parameter got a state of another kind
  own[0]->state()[net.bias.unsafeGetTensorImpl()] = std::make_unique<ForeignState>();
  CHECK(thaw::detail::has_foreign_state(*own[0]));
}

TEST_CASE("what is written as an archive is not written tensor by tensor as well") {
  const ConvAndLinear net;
  torch::optim::SGD optimizer(net.parts(), torch::optim::SGDOptions(0.1).momentum(0.9));
  optimizer.param_groups()[1].set_options(std::make_unique<MyOptions>(0.1));
  net.step(optimizer);
  CHECK(keys_of(optimizer_written(optimizer, net)) == Keys{"kind", "archive", "groups/0.weight/lr",
                                                           "groups/0.weight/momentum", "groups/1.weight/lr",
                                                           "groups/1.weight/momentum"});
}

TEST_CASE("an optimizer that goes by places is not read into one whose groups hold other parameters") {
  const ConvAndLinear net;
  const auto make = [](const std::vector<torch::optim::OptimizerParamGroup>& parts) {
    auto optimizer = std::make_unique<torch::optim::SGD>(parts, torch::optim::SGDOptions(0.1).momentum(0.9));
    for (auto& group : optimizer->param_groups()) {
      auto options = std::make_unique<MyOptions>(0.1);
      options->momentum(0.9);
      group.set_options(std::move(options));
    }
    return optimizer;
  };
  const auto first = make({std::vector{net.kernel, net.weight}, std::vector{net.outside, net.bias}});
  net.step(*first);
  const RunState state = optimizer_written(*first, net);
  const auto same = make({std::vector{net.kernel, net.weight}, std::vector{net.outside, net.bias}});
  read_optimizer(state, *same, net);
  CHECK(same->state().size() == 4);

  const auto other = make({std::vector{net.kernel, net.outside}, std::vector{net.weight, net.bias}});
  CHECK_THROWS_WITH(read_optimizer(state, *other, net),
                    Catch::Matchers::ContainsSubstring("it holds \"1.weight\" in group 0 where the one here holds "));
  CHECK(other->state().empty());
}
