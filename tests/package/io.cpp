// SPDX-License-Identifier: BSD-3-Clause
// thaw::io brings all of thaw::thaw and what reading weight files needs.
#include <ATen/ops/full.h>
#include <torch/nn/modules/linear.h>

#include <cstdio>
#include <thaw/weights/load.hpp>

int main() {
  thaw::StateDict weights;
  weights.insert("weight", at::full({2, 3}, 0.5));
  weights.insert("bias", at::full({2}, 1.0));

  torch::nn::Linear layer(3, 2);
  thaw::load_weights(layer, weights);
  const auto output = layer->forward(at::full({1, 3}, 2.0)).sum().item<double>();
  std::printf("thaw: %g\n", output);
  return output == 8 ? 0 : 1;  // twice 3 * 2 * 0.5 + 1
}
