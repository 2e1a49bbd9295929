#pragma once

#include <ATen/core/Tensor.h>

#include <concepts>
#include <cstdint>
#include <tuple>
#include <utility>

namespace thaw {

/// One training batch: `input` is what the model takes, `target` what the loss compares its output with. The first
/// dimension of both runs over the samples.
struct Batch {
  at::Tensor input;
  at::Tensor target;

  /// How many samples.
  [[nodiscard]] std::int64_t size() const { return input.size(0); }
  [[nodiscard]] Batch to(const at::Device& device) const {
    return {input.to(device, /*non_blocking=*/true), target.to(device, /*non_blocking=*/true)};
  }
};

/// Anything that is plainly a batch: thaw::Batch, LibTorch's Example (`data`, `target`), a pair or tuple of two
/// tensors.
template <class T>
concept BatchLike = requires(const T& b) {
  { b.input } -> std::convertible_to<at::Tensor>;
  { b.target } -> std::convertible_to<at::Tensor>;
} || requires(const T& b) {
  { b.data } -> std::convertible_to<at::Tensor>;
  { b.target } -> std::convertible_to<at::Tensor>;
} || requires(const T& b) {
  requires std::tuple_size<T>::value == 2;
  { std::get<0>(b) } -> std::convertible_to<at::Tensor>;
  { std::get<1>(b) } -> std::convertible_to<at::Tensor>;
};

/// Copies the two tensor handles out of anything BatchLike.
template <BatchLike T>
[[nodiscard]] Batch to_batch(const T& b) {
  if constexpr (requires { b.input; })
    return {b.input, b.target};
  else if constexpr (requires { b.data; })
    return {b.data, b.target};
  else
    return {std::get<0>(b), std::get<1>(b)};
}

}  // namespace thaw
