// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <vector>

namespace thaw::detail {

/// Parameters of four dimensions, as convolutions have. Those that share their memory with another tensor are left out.
inline std::vector<at::Tensor> convolution_weights(const torch::nn::Module& module) {
  std::vector<at::Tensor> weights;
  for (const at::Tensor& parameter : module.parameters())
    if (parameter.dim() == 4 && parameter.is_floating_point() && parameter.layout() == at::kStrided &&
        parameter.storage().use_count() == 1)
      weights.push_back(parameter);
  return weights;
}

}  // namespace thaw::detail
