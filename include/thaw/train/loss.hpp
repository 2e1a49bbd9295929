#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/cross_entropy_loss.h>

#include <cstdint>
#include <string>

#include <thaw/core/error.hpp>

namespace thaw {

/// Mean over the batch of -log softmax(output)[target]. `output` is [N, classes] (or [N, classes, ...]), `target` holds
/// class indices, int64 [N] (or [N, ...]). `thaw::cross_entropy` is one.
struct CrossEntropy {
  [[nodiscard]] at::Tensor operator()(const at::Tensor& output, const at::Tensor& target) const {
    return at::cross_entropy_loss(output, target);
  }

  /// Throws DataError when targets are not class indices that this output has. Reads the targets: waits for a device.
  void check(const at::Tensor& output, const at::Tensor& targets) const {
    if (output.dim() < 2)
      throw DataError("cross_entropy", "the model's output has " + std::to_string(output.dim()) + " dimension(s)",
                      "let the model return [samples, classes]");
    if (targets.is_floating_point()) {
      if (targets.dim() == output.dim()) return;  // class probabilities
      throw DataError("cross_entropy", "targets are floating-point", "give class indices: target.to(torch::kLong)");
    }
    const std::int64_t lowest = targets.min().item<std::int64_t>(), highest = targets.max().item<std::int64_t>();
    const std::int64_t classes = output.size(1);
    constexpr std::int64_t ignored = -100;  // LibTorch's ignore_index
    if (highest >= classes || (lowest < 0 && lowest != ignored))
      throw DataError("cross_entropy",
                      "there is a label " + std::to_string(highest >= classes ? highest : lowest) +
                          ", but the model's output has " + std::to_string(classes) + " classes",
                      "number the classes from 0 to " + std::to_string(classes - 1) +
                          ", or give the model a head with more classes");
  }
};

inline constexpr CrossEntropy cross_entropy{};

}  // namespace thaw
