#pragma once

#include <ATen/Context.h>
#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

namespace thaw {

/// Remembers the state of every random generator that LibTorch draws from by default, and puts it back when it goes
/// out of scope: the CPU's, and that of every CUDA device in use.
class RandomState {
 public:
  RandomState() {
    remember(at::globalContext().defaultGenerator(at::kCPU));
    if (!at::globalContext().hasCUDA()) return;
    for (int i = 0; i < at::detail::getCUDAHooks().getNumGPUs(); ++i)
      if (const auto index = static_cast<at::DeviceIndex>(i); at::detail::getCUDAHooks().hasPrimaryContext(index))
        remember(at::globalContext().defaultGenerator(at::Device(at::kCUDA, index)));
  }

  ~RandomState() {
    for (auto& [generator, state] : generators_) {
      const std::scoped_lock lock(generator.mutex());
      generator.set_state(state);
    }
  }

  /// Whether anything was drawn since.
  [[nodiscard]] bool moved() const {
    return std::ranges::any_of(generators_, [](const auto& each) {
      at::Generator generator = each.first;
      const std::scoped_lock lock(generator.mutex());
      return !generator.get_state().equal(each.second);
    });
  }

  RandomState(const RandomState&) = delete;
  RandomState& operator=(const RandomState&) = delete;

 private:
  void remember(at::Generator generator) {
    const std::scoped_lock lock(generator.mutex());
    at::Tensor state = generator.get_state();
    generators_.emplace_back(std::move(generator), std::move(state));
  }

  std::vector<std::pair<at::Generator, at::Tensor>> generators_;
};

}  // namespace thaw
