// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/nn/module.h>

#include <concepts>
#include <memory>

#include <thaw/core/error.hpp>

namespace thaw::detail {

/// The module behind a ModuleHolder (`ptr()`) or a shared_ptr; null where either is.
template <class Model>
[[nodiscard]] std::shared_ptr<torch::nn::Module> module_or_null(const Model& model) {
  if constexpr (requires { model.ptr(); }) {
    if constexpr (requires { model.is_empty(); })
      if (model.is_empty()) return nullptr;
    return model.ptr();
  } else {
    static_assert(std::convertible_to<const Model&, std::shared_ptr<torch::nn::Module>>,
                  "thaw: a model must be a torch::nn::ModuleHolder (what TORCH_MODULE makes) or a std::shared_ptr to a "
                  "torch::nn::Module");
    return model;
  }
}

/// The same. Throws ConfigError where there is none.
template <class Model>
[[nodiscard]] std::shared_ptr<torch::nn::Module> module_ptr(const Model& model) {
  std::shared_ptr<torch::nn::Module> module = module_or_null(model);
  if (module == nullptr)
    throw ConfigError("model", "it is null: the pointer or holder has no module",
                      "make the module first; torch::nn::Linear{nullptr} makes none");
  return module;
}

}  // namespace thaw::detail
