// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/Functions.h>

#include <cstring>
#include <string>
#include <thaw/weights/state_dict.hpp>
#include <vector>

#include "support/folder.hpp"

namespace thaw::test {

/// The types that safetensors has, and those that only a .pth holds.
inline const std::vector<at::ScalarType> both_types = {
    at::kDouble, at::kFloat,        at::kHalf,          at::kBFloat16,   at::kLong,   at::kInt,
    at::kShort,  at::kChar,         at::kByte,          at::kUInt16,     at::kUInt32, at::kUInt64,
    at::kBool,   at::kComplexFloat, at::kFloat8_e4m3fn, at::kFloat8_e5m2};
inline const std::vector<at::ScalarType> pth_types = {at::kComplexDouble, at::kComplexHalf, at::kFloat8_e4m3fnuz,
                                                      at::kFloat8_e5m2fnuz};

/// A 2 x 3 tensor of a type, made of bytes that are valid in all of them and equal to none but themselves.
inline at::Tensor tensor_of(at::ScalarType type) {
  if (type == at::kBool) return at::tensor({1, 0, 0, 1, 1, 0}).to(at::kBool).reshape({2, 3});
  at::Tensor tensor = at::empty({2, 3}, at::TensorOptions().dtype(type));
  auto* bytes = static_cast<unsigned char*>(tensor.mutable_data_ptr());
  for (std::size_t i = 0; i < tensor.nbytes(); ++i) bytes[i] = static_cast<unsigned char>(1 + 7 * i % 53);
  return tensor;
}

/// Every type and every kind of view: strides, offsets, ties, no elements, no dimensions.
inline StateDict sample_state(bool safetensors) {
  StateDict state;
  for (const at::ScalarType type : both_types) state.insert(std::string("type.") + toString(type), tensor_of(type));
  for (const at::ScalarType type : pth_types) {
    if (!safetensors) state.insert(std::string("type.") + toString(type), tensor_of(type));
  }
  const at::Tensor base = at::arange(24, at::kFloat).reshape({4, 6});
  state.insert("tied.base", base);
  state.insert("tied.transposed", base.t());
  state.insert("tied.slice", base.slice(0, 1, 3).slice(1, 2, 5));
  state.insert("expanded", at::arange(3, at::kFloat).unsqueeze(0).expand({2, 3}));
  state.insert("channels_last",
               at::arange(120, at::kFloat).reshape({2, 3, 4, 5}).contiguous(at::MemoryFormat::ChannelsLast));
  state.insert("scalar", at::full({}, 2.5));
  state.insert("empty", at::empty({0}));
  state.insert("empty.matrix", at::empty({3, 0, 2}));
  state.insert(
      "sm\xc3\xb8rrebr\xc3\xb8"
      "d \xf0\x9f\xa5\xaa \"quoted\\\"",
      at::full({1}, 7, at::kLong));
  return state;
}

/// Same type, shape and bytes.
inline bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  if (a.scalar_type() != b.scalar_type() || a.sizes() != b.sizes()) return false;
  const at::Tensor x = a.contiguous(), y = b.contiguous();
  return x.nbytes() == 0 || std::memcmp(x.const_data_ptr(), y.const_data_ptr(), x.nbytes()) == 0;
}

/// The names of tensors that differ or are in one alone.
inline std::vector<std::string> differences(const StateDict& a, const StateDict& b) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : a) {
    if (!b.contains(name) || !same_bits(tensor, b.at(name))) names.push_back(name);
  }
  for (const auto& [name, tensor] : b) {
    if (!a.contains(name)) names.push_back(name);
  }
  return names;
}

}  // namespace thaw::test
