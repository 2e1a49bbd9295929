#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>

namespace thaw {

/// A number per pass over the data: the mean over batches, weighted by their samples, of what `mean` gives for one.
struct Metric {
  std::string name;
  /// (output, target) -> scalar tensor, the mean over the batch's samples; stays on the device.
  std::function<at::Tensor(const at::Tensor& output, const at::Tensor& target)> mean;
};

/// Fraction of samples whose largest output, along dimension 1, is at the target's class.
[[nodiscard]] inline Metric accuracy() {
  return {.name = "accuracy", .mean = [](const at::Tensor& output, const at::Tensor& target) {
            return output.argmax(1).eq(target).to(at::kDouble).mean();
          }};
}

}  // namespace thaw
