// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/nn/module.h>

#include <concepts>
#include <memory>

#include <thaw/core/module_ptr.hpp>

namespace thaw {

namespace detail {

template <class M>
concept ModuleHandle = requires(const M& module) {
  { module.ptr() } -> std::convertible_to<std::shared_ptr<torch::nn::Module>>;
} || std::convertible_to<const M&, std::shared_ptr<torch::nn::Module>>;

}  // namespace detail

/// A module of any type, so that a list may mix them: made from a ModuleHolder (`torch::nn::Linear`) or a shared_ptr.
/// Refers to the same module; copies nothing.
class ModuleRef {
 public:
  template <class M>
    requires(!std::same_as<M, ModuleRef> && detail::ModuleHandle<M>)
  ModuleRef(const M& module) : module_(detail::module_or_null(module)) {}

  [[nodiscard]] const std::shared_ptr<torch::nn::Module>& ptr() const { return module_; }

 private:
  std::shared_ptr<torch::nn::Module> module_;
};

}  // namespace thaw
