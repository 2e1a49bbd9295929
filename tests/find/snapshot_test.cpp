// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/find/snapshot.hpp>

#include <torch/nn/modules/linear.h>
#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/lbfgs.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>
#include <torch/serialize/archive.h>

#include <ATen/ops/eye.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <memory>
#include <string>

namespace {

/// Its two weights are one.
struct TiedImpl : torch::nn::Module {
  TiedImpl() { register_parameter("again", linear->weight); }
  torch::nn::Linear linear{register_module("linear", torch::nn::Linear(3, 3))};
};
TORCH_MODULE(Tied);

}  // namespace

TEST_CASE("tied weights keep their pending gradient, and what only the optimizer holds is put back") {
  Tied net;
  at::Tensor loss_weight = at::ones({2}).set_requires_grad(true);
  torch::optim::SGD optimizer(net->linear->parameters(), torch::optim::SGDOptions(0.1).momentum(0.9));
  optimizer.add_param_group(torch::optim::OptimizerParamGroup({loss_weight}));
  net->linear->weight.mutable_grad() = at::ones({3, 3});
  loss_weight.mutable_grad() = at::ones({2});
  const at::Tensor weight = net->linear->weight.detach().clone();
  {
    const thaw::Snapshot snapshot(*net, optimizer);
    CHECK_FALSE(net->linear->weight.grad().defined());
    net->linear->weight.mutable_grad() = at::randn({3, 3});
    loss_weight.mutable_grad() = at::randn({2});
    optimizer.step();
    CHECK_FALSE(loss_weight.equal(at::ones({2})));
  }
  CHECK(net->linear->weight.equal(weight));
  CHECK(net->linear->weight.grad().equal(at::ones({3, 3})));
  CHECK(loss_weight.equal(at::ones({2})));
  CHECK(loss_weight.grad().equal(at::ones({2})));
  CHECK(optimizer.state().empty());
}

TEST_CASE("an expanded buffer is refused before anything is touched") {
  torch::nn::Linear net(3, 3);
  torch::optim::SGD optimizer(net->parameters(), torch::optim::SGDOptions(0.1));
  net->register_buffer("scale", at::ones({1}).expand({8}));
  net->weight.mutable_grad() = at::ones({3, 3});
  CHECK_THROWS_AS((thaw::Snapshot{*net, optimizer}), thaw::ConfigError);
  CHECK(net->weight.grad().defined());
}

TEST_CASE("a sparse buffer is no expanded one") {
  torch::nn::Linear net(3, 3);
  torch::optim::SGD optimizer(net->parameters(), torch::optim::SGDOptions(0.1));
  const at::Tensor links = net->register_buffer("links", at::eye(3).to_sparse());
  {
    const thaw::Snapshot snapshot(*net, optimizer);
    at::Tensor(links).mul_(2);
  }
  CHECK(links.to_dense().equal(at::eye(3)));
}

TEST_CASE("a tensor that cannot be put back is warned of, and keeps nothing else from being put back") {
  struct Heard : c10::WarningHandler {
    void process(const c10::Warning& warning) override { text += warning.msg(); }
    std::string text;
  } heard;
  const c10::WarningUtils::WarningHandlerGuard guard(&heard);
  torch::nn::Linear net(3, 3);
  torch::optim::SGD optimizer(net->parameters(), torch::optim::SGDOptions(0.1).momentum(0.9));
  net->weight.mutable_grad() = at::ones({3, 3});
  net->bias.mutable_grad() = at::ones({3});
  optimizer.step();
  const auto* const momentum = optimizer.state().at(net->bias.unsafeGetTensorImpl()).get();
  const at::Tensor bias = net->bias.detach().clone(), gradient = net->weight.grad();
  {
    const thaw::Snapshot snapshot(*net, optimizer);
    net->weight.set_data(at::zeros({2}));  // of another shape now
    net->weight.set_requires_grad(false);
    net->bias.mutable_grad() = at::ones({3});
    optimizer.step();
    CHECK(optimizer.state().at(net->bias.unsafeGetTensorImpl()).get() != momentum);
  }
  CHECK(heard.text.find("could not be put back") != std::string::npos);
  CHECK(net->weight.requires_grad());
  CHECK(net->weight.grad().is_same(gradient));
  CHECK(net->bias.equal(bias));
  CHECK(optimizer.state().at(net->bias.unsafeGetTensorImpl()).get() == momentum);
}

namespace {

/// Two states that are not LibTorch's: a class of its own, and one that adds to SGD's. LibTorch's archive reads into
/// the tensors that are there.
struct ForeignState : torch::optim::OptimizerCloneableParamState<ForeignState> {
  TORCH_ARG(at::Tensor, velocity);
  void serialize(torch::serialize::InputArchive& archive) override { archive.read("velocity", velocity_); }
  void serialize(torch::serialize::OutputArchive& archive) const override { archive.write("velocity", velocity_); }
};
struct WiderState : torch::optim::SGDParamState {
  at::Tensor more;
  [[nodiscard]] std::unique_ptr<OptimizerParamState> clone() const override {
    return std::make_unique<WiderState>(*this);
  }
  void serialize(torch::serialize::InputArchive& archive) override {
    SGDParamState::serialize(archive);
    archive.read("more", more);
  }
  void serialize(torch::serialize::OutputArchive& archive) const override {
    SGDParamState::serialize(archive);
    archive.write("more", more);
  }
};

/// Two tensors of the same bits, each in memory of its own; or both undefined.
bool copied(const at::Tensor& a, const at::Tensor& b) {
  if (!a.defined() || !b.defined()) return a.defined() == b.defined();
  return a.equal(b) && a.strides() == b.strides() && !a.is_alias_of(b);
}

template <class State>
State deep(const State& state) {
  return dynamic_cast<const State&>(*thaw::detail::deep_copy(state));
}

}  // namespace

TEST_CASE("the states of LibTorch's optimizers are copied with every tensor, whether it is there or not") {
  const auto random = [] { return at::randn({2, 3}); };
  const bool all = GENERATE(true, false);
  const auto maybe = [&] { return all ? random() : at::Tensor(); };
  const auto adam = [&]<class State>(State state) {
    state.step(7).exp_avg(random()).exp_avg_sq(random().t()).max_exp_avg_sq(maybe());
    const State copy = deep(state);
    CHECK(copy.step() == 7);
    CHECK(copied(copy.exp_avg(), state.exp_avg()));
    CHECK(copied(copy.exp_avg_sq(), state.exp_avg_sq()));
    CHECK(copied(copy.max_exp_avg_sq(), state.max_exp_avg_sq()));
  };
  adam(torch::optim::AdamParamState());
  adam(torch::optim::AdamWParamState());

  torch::optim::SGDParamState sgd;
  sgd.momentum_buffer(maybe());
  CHECK(copied(deep(sgd).momentum_buffer(), sgd.momentum_buffer()));

  torch::optim::AdagradParamState adagrad;
  adagrad.step(7).sum(random());
  CHECK(deep(adagrad).step() == 7);
  CHECK(copied(deep(adagrad).sum(), adagrad.sum()));

  torch::optim::RMSpropParamState rmsprop;
  rmsprop.step(7).square_avg(random()).momentum_buffer(maybe()).grad_avg(maybe());
  const auto copy = deep(rmsprop);
  CHECK(copy.step() == 7);
  CHECK(copied(copy.square_avg(), rmsprop.square_avg()));
  CHECK(copied(copy.momentum_buffer(), rmsprop.momentum_buffer()));
  CHECK(copied(copy.grad_avg(), rmsprop.grad_avg()));
}

TEST_CASE("a state that is not LibTorch's own is put back by its serialisation, all of it") {
  torch::nn::Linear net(3, 2);
  torch::optim::SGD optimizer(net->parameters(), torch::optim::SGDOptions(0.1));
  auto& foreign = optimizer.state()[net->weight.unsafeGetTensorImpl()];
  auto& wider = optimizer.state()[net->bias.unsafeGetTensorImpl()];
  foreign = std::make_unique<ForeignState>();
  wider = std::make_unique<WiderState>();
  const at::Tensor velocity = at::randn({2, 3}), buffer = at::randn({2}), more = at::randn({4});
  static_cast<ForeignState&>(*foreign).velocity(velocity.clone());
  static_cast<WiderState&>(*wider).momentum_buffer(buffer.clone());
  static_cast<WiderState&>(*wider).more = more.clone();
  {
    const thaw::Snapshot snapshot(*net, optimizer);
    auto& inside = static_cast<ForeignState&>(*optimizer.state().at(net->weight.unsafeGetTensorImpl()));
    auto& inside_wider = static_cast<WiderState&>(*optimizer.state().at(net->bias.unsafeGetTensorImpl()));
    CHECK(inside.velocity().equal(velocity));
    for (at::Tensor tensor : {inside.velocity(), inside_wider.momentum_buffer(), inside_wider.more}) tensor.add_(1);
  }
  const auto& after = static_cast<const ForeignState&>(*optimizer.state().at(net->weight.unsafeGetTensorImpl()));
  const auto& after_wider = static_cast<const WiderState&>(*optimizer.state().at(net->bias.unsafeGetTensorImpl()));
  CHECK(after.velocity().equal(velocity));
  CHECK(after_wider.momentum_buffer().equal(buffer));
  CHECK(after_wider.more.equal(more));
}

TEST_CASE("LBFGS, whose state is more than tensors, goes on as if there had been no snapshot") {
  torch::nn::Linear net(3, 1);
  torch::optim::LBFGS optimizer(net->parameters(), torch::optim::LBFGSOptions(0.1).max_iter(3));
  const at::Tensor x = at::randn({8, 3});
  const auto step = [&] {
    optimizer.step([&] {
      optimizer.zero_grad();
      at::Tensor loss = net(x).square().mean();
      loss.backward();
      return loss;
    });
    return net->weight.detach().clone();
  };
  step();
  at::Tensor inside;
  {
    const thaw::Snapshot snapshot(*net, optimizer);
    inside = step();
  }
  CHECK(step().equal(inside));
}
