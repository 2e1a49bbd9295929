// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/core/forward_part.hpp>

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>

#include <ATen/ops/randn.h>
#include <catch2/catch_test_macros.hpp>

namespace {

struct PartedImpl : torch::nn::Module {
  torch::nn::Linear a{register_module("a", torch::nn::Linear(4, 3))};
  torch::nn::Linear b{register_module("b", torch::nn::Linear(3, 2))};
  std::vector<thaw::ForwardPart> forward_parts() {
    return {{"a", {a.ptr()}, [this](const at::Tensor& x) { return a(x).relu(); }}, {"b", b}};
  }
};
TORCH_MODULE(Parted);
struct WholeImpl : torch::nn::Module {};
TORCH_MODULE(Whole);

static_assert(thaw::SplitForward<Parted>);
static_assert(thaw::SplitForward<std::shared_ptr<PartedImpl>>);
static_assert(thaw::SplitForward<torch::nn::Sequential>);
static_assert(!thaw::SplitForward<Whole>);
static_assert(!thaw::SplitForward<torch::nn::Linear>);

}  // namespace

TEST_CASE("a model that lists its parts is run part by part") {
  Parted net;
  const at::Tensor x = at::randn({5, 4});
  thaw::ForwardPart::Tensors y{x};
  const auto parts = thaw::forward_parts(net);
  REQUIRE(parts.size() == 2);
  CHECK(parts[1].modules[0] == net->b.ptr());
  for (const thaw::ForwardPart& part : parts) y = part.forward(y);
  CHECK(y[0].equal(net->b(net->a(x).relu())));
}

TEST_CASE("a Sequential is a part per child") {
  torch::nn::Sequential net(torch::nn::Linear(4, 3), torch::nn::BatchNorm1d(3), torch::nn::Linear(3, 2));
  const auto parts = thaw::forward_parts(*net, "net");
  REQUIRE(parts.size() == 3);
  CHECK(parts[1].name == "net.1");
  CHECK(thaw::forward_parts(net)[1].name == "1");
  CHECK(parts[1].modules == std::vector{net->ptr(1)});
  net->eval();
  thaw::ForwardPart::Tensors y{at::randn({5, 4})};
  const at::Tensor expected = net->forward(y[0]);
  for (const thaw::ForwardPart& part : parts) y = part.forward(y);
  CHECK(y[0].equal(expected));
}

TEST_CASE("a null model has no parts, which is said") {
  torch::nn::Sequential empty{nullptr};
  std::shared_ptr<torch::nn::SequentialImpl> null;
  CHECK_THROWS_AS(thaw::forward_parts(empty), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::forward_parts(null), thaw::ConfigError);
}
