// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/frozen_split.hpp>

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <thaw/groups/freeze.hpp>

#include "support/nets.hpp"

namespace {

/// Two inputs; the second goes along to the head.
struct TwoInputsImpl : torch::nn::Module {
  torch::nn::Linear body{register_module("body", torch::nn::Linear(4, 5))};
  torch::nn::Linear head{register_module("head", torch::nn::Linear(5, 2))};

  at::Tensor forward(const at::Tensor& x, const at::Tensor& scale) { return head(body(x).relu() * scale); }
  std::vector<thaw::ForwardPart> forward_parts() {
    using Tensors = thaw::ForwardPart::Tensors;
    return {{"body", {body.ptr()}, [this](const Tensors& x) { return Tensors{body(x[0]).relu_(), x[1]}; }},
            {"head", {head.ptr()}, [this](const Tensors& x) { return Tensors{head(x[0].mul_(x[1]))}; }}};
  }
};
TORCH_MODULE(TwoInputs);

}  // namespace

TEST_CASE("a model is split in a loop of one's own, with several tensors between its parts") {
  TwoInputs net;
  auto groups = thaw::LayerGroups::cut_before(net, {"head"});
  (void)thaw::apply(thaw::FreezeTo{1}, groups);
  const std::vector<at::Tensor> input{at::randn({6, 4}), at::randn({6, 1})};
  const thaw::FrozenSplit split = thaw::split_frozen(net, groups, input);
  REQUIRE(split.prefix.size() == 1);
  CHECK(split.end == "'head' trains");

  const thaw::Fields features = split.features(input);
  const at::Tensor kept = features[0].clone();
  for (int i = 0; i < 2; ++i) {
    const at::Tensor output = split.output(features);
    CHECK(output.equal(net->forward(input[0], input[1])));
    CHECK(output.requires_grad());
    CHECK(features[0].equal(kept));  // the head works in place, on its own copy
  }
  CHECK_FALSE(features[0].requires_grad());
  CHECK(split.tensors().size() == 2);
}

TEST_CASE("trying the parts leaves buffers and random generators as they were") {
  torch::nn::Sequential net(torch::nn::Linear(4, 5), torch::nn::BatchNorm1d(5), torch::nn::Linear(5, 2));
  auto groups = thaw::LayerGroups::cut_at(net, {2});
  (void)thaw::apply(thaw::FreezeTo{1}, groups, {.frozen = thaw::Norm::track});
  const auto before = thaw::test::state_of(*net);
  const thaw::FrozenSplit split = thaw::split_frozen(net, groups, at::randn({6, 4}));
  CHECK(split.prefix.size() == 1);
  CHECK(split.end == "'1' has running statistics that move");
  CHECK(thaw::test::same_state(before, *net));

  (void)thaw::apply(thaw::Unfrozen{}, groups);
  CHECK(thaw::split_frozen(net, groups, at::randn({6, 4})).prefix.empty());
}

TEST_CASE("a frozen part that changes its own state as it runs is not kept, and trying it leaves that state") {
  struct CountingImpl : torch::nn::Module {
    at::Tensor calls{register_buffer("calls", at::zeros({}))};
    at::Tensor forward(const at::Tensor& x) {
      calls.add_(1);
      return x;
    }
  };
  const auto counting = std::make_shared<CountingImpl>();
  torch::nn::Sequential net(torch::nn::Linear(4, 5), counting, torch::nn::Linear(5, 5), torch::nn::Linear(5, 2));
  auto groups = thaw::LayerGroups::cut_at(net, {3});
  (void)thaw::apply(thaw::FreezeTo{1}, groups);
  const thaw::FrozenSplit split = thaw::split_frozen(net, groups, at::randn({6, 4}));
  CHECK(split.prefix.size() == 1);
  CHECK(split.end == "'1' changes its own state as it runs");
  CHECK(counting->calls.item<double>() == 0);
}
