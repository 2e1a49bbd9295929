// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/resolve_conj.h>
#include <ATen/ops/resolve_neg.h>
#include <fmt/format.h>

#include <string>
#include <string_view>
#include <thaw/core/error.hpp>
#include <thaw/core/utf8.hpp>
#include <thaw/weights/detail/find_state_dict.hpp>

namespace thaw::detail {

inline void check_savable_name(const std::string& where, const std::string& name) {
  if (name.size() > longest_name || !is_utf8(name)) {
    throw ConfigError(where, fmt::format("a tensor's name is {}", is_utf8(name) ? "too long" : "no UTF-8"),
                      fmt::format("give it a name of UTF-8, of {} bytes or fewer", longest_name));
  }
}

/// The tensor without what no file can hold. Throws ConfigError for one that has no plain elements.
[[nodiscard]] inline at::Tensor savable(const std::string& where, const std::string& name, const at::Tensor& tensor) {
  check_savable_name(where, name);
  const char* problem = nullptr;
  if (!tensor.defined()) {
    problem = "is undefined";
  } else if (tensor.is_meta()) {
    problem = "is on the meta device: it has no memory";
  } else if (tensor.layout() != at::kStrided || tensor.is_quantized() || tensor.is_nested() || !tensor.has_storage()) {
    problem = "is sparse, quantized, nested or without storage";
  }
  if (problem != nullptr) {
    throw ConfigError(where, fmt::format("'{}' {}", name, problem),
                      "save dense tensors: tensor.to_dense(), tensor.dequantize()");
  }
  return at::resolve_neg(at::resolve_conj(tensor.detach()));
}

/// The bytes of a contiguous tensor on the CPU.
[[nodiscard]] inline std::string_view bytes_of(const at::Tensor& tensor) {
  return {static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()};
}

[[nodiscard]] inline ConfigError no_type(const std::string& where, const std::string& name, const at::Tensor& tensor,
                                         const std::string& fix) {
  return {where, fmt::format("'{}' is of type {}, which this format cannot hold", name, toString(tensor.scalar_type())),
          fix};
}

}  // namespace thaw::detail
