// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/nn/module.h>

#include <string>
#include <thaw/weights/state_dict.hpp>

namespace thaw {

namespace detail {

inline void append_tensors(const torch::nn::Module& module, const std::string& prefix, StateDict& state) {
  for (const auto& item : module.named_parameters(/*recurse=*/false)) state.insert(prefix + item.key(), item.value());
  for (const auto& item : module.named_buffers(/*recurse=*/false)) state.insert(prefix + item.key(), item.value());
  for (const auto& child : module.named_children()) append_tensors(*child.value(), prefix + child.key() + ".", state);
}

}  // namespace detail

/// The module's parameters and buffers by their names, in the order of Python's `module.state_dict()`: a module's own
/// tensors before its children's. Handles: writing to them writes to the module.
[[nodiscard]] inline StateDict state_dict(const torch::nn::Module& module) {
  StateDict state;
  detail::append_tensors(module, "", state);
  return state;
}

}  // namespace thaw
