// SPDX-License-Identifier: BSD-3-Clause
// What a user writes first: a program with thaw::thaw alone. second.cpp includes the same headers.
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <ATen/ops/randn.h>
#include <cstdio>
#include <thaw/thaw.hpp>

thaw::Callback count_steps(int& steps);

int main() {
  at::manual_seed(1);
  const at::Tensor input = at::randn({64, 4}), target = (input.sum(1) > 0).to(at::kLong);
  torch::nn::Sequential model(torch::nn::Linear(4, 8), torch::nn::ReLU(), torch::nn::Linear(8, 2));
  const auto data = thaw::InMemory({.input = input, .target = target, .batch_size = 16});
  thaw::Learner learner{model, thaw::LayerGroups::cut_before(model, {"2"}), thaw::cross_entropy,
                        {.train = data, .valid = data, .metrics = {thaw::accuracy()}}};

  int steps = 0;
  learner.fit({.name = "head", .epochs = 2, .freeze = thaw::FreezeTo{-1}, .lr = 1e-2}, count_steps(steps));
  learner.unfreeze();
  const auto last = learner.fit({.name = "all", .epochs = 20, .lr = thaw::DiscriminativeLR::slice(1e-2, 3e-2)});
  std::printf("thaw: accuracy %.3f after %d and 80 steps\n", last.valid->metrics[0].value, steps);
  return steps == 8 && last.valid->metrics[0].value > 0.9 ? 0 : 1;
}
