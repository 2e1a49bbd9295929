// SPDX-License-Identifier: BSD-3-Clause
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <thaw/groups/layer_groups.hpp>

int main() {
  const torch::nn::Sequential model(torch::nn::Linear(4, 8), torch::nn::Linear(8, 2));
  return thaw::LayerGroups::cut_before(model, {"1"}).size() == 2 ? 0 : 1;
}
