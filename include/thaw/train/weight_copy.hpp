// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <torch/nn/module.h>

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/train/run_state.hpp>

namespace thaw {

/// A copy of a module's parameters and buffers, to be put back.
class WeightCopy {
 public:
  explicit WeightCopy(const torch::nn::Module& module);

  /// In the order in which the module has them.
  void visit(const StateVisitor& state);

  void restore() const;

  /// Puts back what lies between this copy (t = 0) and a later one of the same module (t = 1): (1 - t) a + t b. What is
  /// no floating-point number (counts of batches) is taken from the later one.
  void restore_between(const WeightCopy& later, double t) const;

 private:
  std::vector<std::pair<at::Tensor, at::Tensor>> tensors_;
};

namespace detail {

void visit(const StateVisitor& state, std::optional<WeightCopy>& copy, const torch::nn::Module& module);

}  // namespace detail

}  // namespace thaw

#if THAW_DEFINES(train)

namespace thaw {

THAW_INLINE WeightCopy::WeightCopy(const torch::nn::Module& module) {
  for (const auto& all : {module.parameters(), module.buffers()})
    for (const at::Tensor& tensor : all)
      if (tensor.defined()) tensors_.emplace_back(tensor, tensor.detach().clone());
}

THAW_INLINE void WeightCopy::visit(const StateVisitor& state) {
  for (std::size_t i = 0; i < tensors_.size(); ++i)
    if (!state.reading() || state.fits(std::to_string(i), tensors_[i].second))
      state.into(std::to_string(i), tensors_[i].second);
}

THAW_INLINE void WeightCopy::restore() const {
  const c10::NoGradGuard no_grad;
  for (const auto& [tensor, value] : tensors_) tensor.copy_(value);
}

THAW_INLINE void WeightCopy::restore_between(const WeightCopy& later, double t) const {
  const c10::NoGradGuard no_grad;
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    const auto& [tensor, value] = tensors_[i];
    const at::Tensor& other = later.tensors_[i].second;
    tensor.copy_(value.is_floating_point() || value.is_complex() ? value.lerp(other, t) : other);
  }
}

}  // namespace thaw

namespace thaw::detail {

THAW_INLINE void visit(const StateVisitor& state, std::optional<WeightCopy>& copy, const torch::nn::Module& module) {
  bool there = copy.has_value();
  state("there", there);
  if (!there) return copy.reset();
  if (!copy) copy.emplace(module);
  copy->visit(state);
}

}  // namespace thaw::detail

#endif
