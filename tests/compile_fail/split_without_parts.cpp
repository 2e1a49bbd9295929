// SPDX-License-Identifier: BSD-3-Clause
// expect: thaw: to be run in parts, a model must be a torch::nn::Sequential or have a member
#include <torch/nn/modules/linear.h>

#include <thaw/train/frozen_split.hpp>

auto make(torch::nn::Linear model, const thaw::LayerGroups& groups, const at::Tensor& images) {
  return thaw::split_frozen(model, groups, images);
}
