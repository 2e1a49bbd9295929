// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>
#include <catch2/catch_test_macros.hpp>
#include <cstddef>

namespace thaw::test {

/// How many batch norms a network has, all of which must have these options.
inline std::size_t count_norms(const torch::nn::Module& net, double eps, double momentum) {
  std::size_t norms = 0;
  for (const auto& layer : net.modules())
    if (const auto* norm = layer->as<torch::nn::BatchNorm2d>()) {
      CHECK(norm->options.eps() == eps);
      CHECK(norm->options.momentum() == momentum);
      ++norms;
    }
  return norms;
}

}  // namespace thaw::test
