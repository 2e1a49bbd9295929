// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Reduction.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/stack.h>

#include <cstdint>

#include <thaw/train/detail/shapes.hpp>
#include <thaw/train/metric.hpp>

namespace thaw {

struct PerplexityOptions {
  std::int64_t ignore_index = -100;  ///< targets that do not count: padding
};

/// exp of the mean over tokens of -log softmax(output)[target]. `output` holds logits [N, classes, ...], as for
/// cross_entropy: a language model's [N, length, classes] goes in as output.transpose(1, 2); `target` is int64
/// [N, ...]. NaN where every target is ignored. Source: fastai's Perplexity, here by tokens and not by batches.
[[nodiscard]] inline Metric perplexity(PerplexityOptions options = {}) {
  return {.name = "perplexity",
          .observe =
              [options](const at::Tensor& output, const at::Tensor& target) {
                detail::check_class_shapes("perplexity", output.sizes(), target.sizes());
                const bool half = output.scalar_type() == at::kHalf || output.scalar_type() == at::kBFloat16;
                const at::Tensor nll =
                    at::cross_entropy_loss(half ? output.to(at::kFloat) : output, target.to(at::kLong), {},
                                           at::Reduction::None, options.ignore_index);
                return at::stack({nll.sum(at::kDouble), target.ne(options.ignore_index).sum(at::kDouble)});
              },
          .value = [](const at::Tensor& total) { return detail::ratio(total).exp(); },
          .better = Better::lower};
}

}  // namespace thaw
