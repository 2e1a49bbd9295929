#include <thaw/find/snapshot.hpp>

#include <torch/nn/modules/linear.h>
#include <torch/optim/sgd.h>

#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <catch2/catch_test_macros.hpp>

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
