// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace thaw::models {

/// Stochastic depth (arXiv:1603.09382): of x [N, ...], an example becomes 0 with probability `drop`, else x / (1 -
/// drop).
[[nodiscard]] inline at::Tensor drop_examples(const at::Tensor& x, double drop) {
  std::vector<std::int64_t> per_example(static_cast<std::size_t>(x.dim()), 1);
  per_example[0] = x.size(0);
  return x * at::empty(per_example, x.options()).bernoulli_(1 - drop).div_(1 - drop);
}

}  // namespace thaw::models
