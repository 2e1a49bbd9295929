// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/optim/adamw.hpp>

#include <catch2/catch_test_macros.hpp>
#include <memory>

#include "support/nets.hpp"

using thaw::test::TinyNet;

TEST_CASE("AdamW decays weights and leaves biases and norms alone, even where 0 is no class default") {
  TinyNet net;
  const auto groups = thaw::LayerGroups::cut_before(net, {"head"});
  thaw::AdamW optimizer(groups);
  const auto decay = [&](std::size_t i) {
    return static_cast<torch::optim::AdamWOptions&>(optimizer.param_groups()[i].options()).weight_decay();
  };
  CHECK(decay(0) == 0.01);
  CHECK(decay(1) == 0);
  CHECK(decay(2) == 0.01);
  CHECK(decay(3) == 0);

  // A zero gradient moves only what decays: p *= 1 - lr * weight_decay.
  for (at::Tensor parameter : net->parameters()) parameter.mutable_grad() = at::zeros_like(parameter);
  const auto before = thaw::test::state_of(*net);
  optimizer.step();
  CHECK(at::allclose(net->head->weight, before.at("head.weight") * (1 - 1e-3 * 0.01), 1e-7, 0));
  CHECK(at::equal(net->head->bias, before.at("head.bias")));
  CHECK(at::equal(net->stem->parameters()[2], before.at("stem.1.weight")));
}

TEST_CASE("AdamW's defaults are fastai's") {
  const auto options = thaw::AdamW::fastai_defaults();
  CHECK(options.betas() == std::tuple(0.9, 0.99));
  CHECK(options.eps() == 1e-5);
  CHECK(options.weight_decay() == 0.01);
}

TEST_CASE("AdamW takes LibTorch's own loop where there is no fused kernel, and ends where that ends") {
  const auto stepped = [](auto make) {
    TinyNet net;
    for (at::Tensor parameter : net->parameters()) parameter.detach().fill_(0.5);
    net->to(at::kBFloat16);
    const auto groups = thaw::LayerGroups::cut_before(net, {"head"});
    const auto optimizer = make(groups);
    for (int i = 0; i < 3; ++i) {
      for (at::Tensor parameter : net->parameters()) parameter.mutable_grad() = at::ones_like(parameter);
      optimizer->step();
    }
    return net->head->weight.detach().clone();
  };
  const at::Tensor ours = stepped([](const auto& groups) { return std::make_unique<thaw::AdamW>(groups); });
  CHECK(ours.scalar_type() == at::kBFloat16);
  CHECK(at::equal(ours, stepped([](const auto& groups) {
                    return std::make_unique<torch::optim::AdamW>(thaw::param_groups(groups),
                                                                 thaw::AdamW::fastai_defaults());
                  })));
  CHECK(ours.lt(0.5).all().item<bool>());
}
