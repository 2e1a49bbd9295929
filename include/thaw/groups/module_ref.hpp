#pragma once

#include <torch/nn/module.h>

#include <concepts>
#include <memory>

namespace thaw {

namespace detail {

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
  ModuleRef(const M& module) : module_(detail::module_ptr(module)) {}

  [[nodiscard]] const std::shared_ptr<torch::nn::Module>& ptr() const { return module_; }

 private:
  std::shared_ptr<torch::nn::Module> module_;
};

}  // namespace thaw
