// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <torch/nn/module.h>

#include <utility>
#include <vector>

#include <thaw/core/random_state.hpp>
#include <thaw/core/training_flags.hpp>

namespace thaw::detail {

/// While it lives, a model may be run to see what it does: without gradients, and its buffers and modes and all random
/// generators are as they were afterwards.
class TryOut {
 public:
  explicit TryOut(const torch::nn::Module& module) : flags_(module) {
    for (const at::Tensor& buffer : module.buffers()) buffers_.emplace_back(buffer, buffer.clone());
  }
  ~TryOut() {
    for (auto& [buffer, value] : buffers_) buffer.copy_(value);
  }
  TryOut(const TryOut&) = delete;
  TryOut& operator=(const TryOut&) = delete;

 private:
  c10::NoGradGuard no_grad_;
  RandomState random_;
  TrainingFlags flags_;
  std::vector<std::pair<at::Tensor, at::Tensor>> buffers_;
};

}  // namespace thaw::detail
