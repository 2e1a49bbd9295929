// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>

#include <ATen/ops/zeros.h>
#include <thaw/core/forward_part.hpp>
#include <thaw/data/in_memory.hpp>
#include <vector>

#include "models/formula.hpp"
#include "support/data.hpp"
#include "support/nets.hpp"

namespace thaw::test {

/// The network and the images of tests/reference/make_looks_fixture.py, in double.
struct LooksNet {
  LooksNet() {
    namespace nn = torch::nn;
    model = nn::Sequential(nn::Conv2d(nn::Conv2dOptions(3, 4, 3).padding(1)), nn::BatchNorm2d(4),
                           nn::ReLU(nn::ReLUOptions(true)), nn::MaxPool2d(2), nn::Conv2d(4, 5, 3),
                           nn::ReLU(nn::ReLUOptions(true)), nn::AdaptiveAvgPool2d(nn::AdaptiveAvgPool2dOptions({2, 2})),
                           nn::Flatten(), nn::Linear(20, 6), nn::ReLU(), nn::Linear(6, 3));
    model->to(at::kDouble);
    fill(*model, chirp);
    model->eval();
  }

  [[nodiscard]] InMemory source(std::int64_t batch_size = 4) const {
    return InMemory({.input = images,
                     .target = at::zeros({6}, at::kLong),
                     .batch_size = batch_size,
                     .shuffle = true,
                     .drop_last = true});
  }

  torch::nn::Sequential model{nullptr};
  at::Tensor images = wave({6, 3, 14, 12}, 0.37);
};

/// The same network with tokens in the place of the maps behind its pooling.
struct TokensNetImpl : torch::nn::Module {
  explicit TokensNetImpl(torch::nn::Sequential net_) : net(register_module("net", std::move(net_))) {}

  std::vector<ForwardPart> forward_parts() {
    const auto parts = thaw::forward_parts(*net);
    const auto run = [](std::vector<ForwardPart> some, at::Tensor x) {
      for (const ForwardPart& part : some) x = part.forward({x})[0];
      return x;
    };
    const std::vector<ForwardPart> first(parts.begin(), parts.begin() + 4), rest(parts.begin() + 4, parts.end());
    return {{"tokens", {}, [=](const at::Tensor& x) -> at::Tensor { return run(first, x).flatten(2).transpose(1, 2); }},
            {"rest", {}, [=](const at::Tensor& x) -> at::Tensor {
               return run(rest, x.transpose(1, 2).unflatten(2, {7, 6}));
             }}};
  }

  torch::nn::Sequential net{nullptr};
};
TORCH_MODULE(TokensNet);

}  // namespace thaw::test
