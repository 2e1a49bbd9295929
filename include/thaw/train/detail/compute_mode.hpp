// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/ops/abs.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/nan_to_num.h>
#include <c10/core/GradMode.h>
#include <c10/core/MemoryFormat.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <thaw/core/convolution_weights.hpp>
#include <thaw/core/try_out.hpp>
#include <thaw/train/detail/task.hpp>
#include <thaw/train/precision.hpp>

namespace thaw::detail {

/// In which layout and precision a Learner's model runs.
struct ComputeMode {
  Layout layout = Layout::automatic;
  Precision precision = Precision::full;

  /// Images as the model is to have them.
  [[nodiscard]] Fields in(const Fields& input) const {
    if (layout != Layout::channels_last) return input;
    return input.map([](const at::Tensor& tensor) {
      return tensor.dim() == 4 && tensor.is_floating_point() ? tensor.contiguous(at::MemoryFormat::ChannelsLast)
                                                             : tensor;
    });
  }

  /// An output as loss and metrics are to have it: no half numbers, whose sums would be coarse.
  [[nodiscard]] Fields out(const Fields& output) const {
    if (precision == Precision::full) return output;
    return output.map([](const at::Tensor& tensor) {
      return tensor.scalar_type() == at::kBFloat16 || tensor.scalar_type() == at::kHalf ? tensor.to(at::kFloat)
                                                                                        : tensor;
    });
  }

  /// Runs `forward` on `input` in this precision.
  template <class Forward, class Input>
  auto run(Forward& forward, const Input& input) const {
    std::optional<Autocast> autocast;
    if (precision != Precision::full)
      autocast.emplace(input[0].device().type(), precision == Precision::bfloat16 ? at::kBFloat16 : at::kHalf);
    return forward(input);
  }
};

/// The same task, its model run in a mode that may still change.
inline Task in_mode(Task task, const std::shared_ptr<const ComputeMode>& mode) {
  task.forward = [forward = std::move(task.forward), mode](const Fields& input) {
    return mode->out(mode->run(forward, mode->in(input)));
  };
  if (task.parts)
    task.parts = [parts = std::move(task.parts), mode] {
      std::vector<ForwardPart> list = parts();
      for (std::size_t i = 0; i < list.size(); ++i)
        list[i].forward = [forward = std::move(list[i].forward), mode, first = i == 0,
                           last = i + 1 == list.size()](const ForwardPart::Tensors& input) {
          const auto given = first ? mode->in(input).as<ForwardPart::Tensors>() : input;
          ForwardPart::Tensors output = mode->run(forward, given);
          return last ? mode->out(output).as<ForwardPart::Tensors>() : output;
        };
      return list;
    };
  return task;
}

/// As many samples as are enough to try a model on.
inline Fields few(const Fields& batch) {
  return batch.map(
      [](const at::Tensor& tensor) { return tensor.slice(0, 0, std::min<std::int64_t>(tensor.size(0), 4)); });
}

/// Whether two outputs differ by rounding at most.
inline bool nearly_equal(const Fields& a, const Fields& b) {
  return std::ranges::equal(a, b, [](const at::Tensor& x, const at::Tensor& y) {
    return x.sizes() == y.sizes() &&
           at::allclose(x, y, 1e-3, 1e-3 * y.nan_to_num().abs().max().item<double>(), /*equal_nan=*/true);
  });
}

/// What the model gives in evaluation mode. Runs it in training mode too, in which some have heads more.
inline Fields tried(const Task& task, torch::nn::Module& module, const Fields& example) {
  const TryOut nothing_stays{module};
  module.eval();
  Fields output = task.forward(example);
  module.train();
  (void)task.forward(example);
  return output;
}

/// Lays out the weights for the mode, having found out what Layout::automatic means: it tries an example both ways.
inline void settle_layout(ComputeMode& mode, const Task& task, torch::nn::Module& module, const Fields& example) {
  if (mode.layout == Layout::contiguous) return;
  const c10::NoGradGuard no_grad;
  const std::vector<at::Tensor> weights = convolution_weights(module);
  const auto lay_out = [&] {
    for (const at::Tensor& weight : weights) weight.set_data(weight.contiguous(at::MemoryFormat::ChannelsLast));
    mode.layout = Layout::channels_last;
  };
  if (mode.layout == Layout::channels_last) return lay_out();
  const auto is_image = [](const at::Tensor& input) { return input.dim() == 4 && input.is_cpu(); };
  if (weights.empty() || mode.precision != Precision::full || std::ranges::none_of(example, is_image)) {
    mode.layout = Layout::contiguous;
    return;
  }
  std::vector<at::Tensor> before;
  before.reserve(weights.size());
  for (const at::Tensor& weight : weights) before.push_back(weight.detach());
  try {
    const Fields expected = tried(task, module, example);
    lay_out();
    if (nearly_equal(tried(task, module, example), expected)) return;
  } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): a view() wants channels first, say
  }
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i].set_data(before[i]);
  mode.layout = Layout::contiguous;
}

}  // namespace thaw::detail
