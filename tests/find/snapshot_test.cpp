#include <thaw/find/snapshot.hpp>

#include <torch/nn/modules/linear.h>
#include <torch/optim/sgd.h>

#include <ATen/ops/eye.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>
#include <catch2/catch_test_macros.hpp>
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
