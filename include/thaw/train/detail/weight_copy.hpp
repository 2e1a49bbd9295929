#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <torch/nn/module.h>

#include <utility>
#include <vector>

namespace thaw::detail {

/// A copy of a module's parameters and buffers, to be put back.
class WeightCopy {
 public:
  explicit WeightCopy(const torch::nn::Module& module) {
    for (const auto& all : {module.parameters(), module.buffers()})
      for (const at::Tensor& tensor : all)
        if (tensor.defined()) tensors_.emplace_back(tensor, tensor.detach().clone());
  }

  void restore() const {
    const c10::NoGradGuard no_grad;
    for (const auto& [tensor, value] : tensors_) tensor.copy_(value);
  }

 private:
  std::vector<std::pair<at::Tensor, at::Tensor>> tensors_;
};

}  // namespace thaw::detail
