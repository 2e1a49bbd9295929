#pragma once

#include <torch/nn/module.h>

#include <concepts>
#include <memory>

namespace thaw::detail {

/// The module behind a ModuleHolder (`ptr()`) or a shared_ptr.
template <class Model>
[[nodiscard]] std::shared_ptr<torch::nn::Module> module_ptr(const Model& model) {
  if constexpr (requires { model.ptr(); })
    return model.ptr();
  else {
    static_assert(std::convertible_to<const Model&, std::shared_ptr<torch::nn::Module>>,
                  "thaw: a model must be a torch::nn::ModuleHolder (what TORCH_MODULE makes) or a std::shared_ptr to a "
                  "torch::nn::Module");
    return model;
  }
}

}  // namespace thaw::detail
