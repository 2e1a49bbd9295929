// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/relu6.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/nn/modules/batchnorm.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/models/detail/vectorized.hpp>

namespace thaw::models {

/// The ends of ReLU and ReLU6.
inline constexpr float no_limit = std::numeric_limits<float>::infinity(), relu6_limit = 6;

/// min(relu(norm(x)), high): batch norm and ReLU, or ReLU6. Overwrites x, so give it what nobody else needs: a
/// convolution's output. x is [N, C, H, W].
///
/// On a CPU, in float32 and channels-last, a norm in evaluation mode (which a frozen or held one is) and its activation
/// are one pass over memory each way, and of the two tensors that backward reads only the result is kept. The result is
/// rounded as LibTorch's layers round it; gradients differ from theirs by rounding, of the order of 1e-6. Elsewhere the
/// layers run one after the other. Throws ConfigError for gradients of gradients.
/// Source: backward from the result, as in in-place activated batch norm (arXiv:1712.02616), whose statistics are
/// constants here.
[[nodiscard]] at::Tensor norm_relu(torch::nn::BatchNorm2d& norm, at::Tensor x, float high = no_limit);

namespace detail {

/// The one pass: x scale + shift, with scale = weight inverse, shift = bias - mean scale.
struct HeldNormRelu : torch::autograd::Function<HeldNormRelu> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, at::Tensor x, const at::Tensor& weight,
                            const at::Tensor& bias, const at::Tensor& mean, const at::Tensor& inverse, double high,
                            bool trains);
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list gradients);
};

}  // namespace detail

}  // namespace thaw::models

#if THAW_DEFINES(models)

namespace thaw::models::detail {

/// x = min(max(x scale + shift, 0), high); NaN stays NaN. `Fma`: with one rounding of the first two.
template <bool Fma>
struct NormReluLoop {
  [[gnu::always_inline]] void operator()(float* __restrict x, const float* __restrict scale,
                                         const float* __restrict shift, std::int64_t rows, std::int64_t channels,
                                         float high) const {
    for (std::int64_t row = 0; row < rows; ++row, x += channels)
      for (std::int64_t c = 0; c < channels; ++c) {
        float value = Fma ? std::fma(x[c], scale[c], shift[c]) : x[c] * scale[c] + shift[c];
        value = value < 0 ? 0 : value;
        x[c] = value > high ? high : value;
      }
  }
};

/// dx = masked scale, sums += masked, dots += masked (y - bias); masked is g where y is not at an end.
struct NormReluBackwardLoop {
  [[gnu::always_inline]] void operator()(const float* __restrict g, const float* __restrict y,
                                         const float* __restrict scale, const float* __restrict bias,
                                         float* __restrict dx, float* __restrict sums, float* __restrict dots,
                                         std::int64_t rows, std::int64_t channels, float high) const {
    for (std::int64_t row = 0; row < rows; ++row, g += channels, y += channels, dx += channels)
      for (std::int64_t c = 0; c < channels; ++c) {
        const float value = y[c], gradient = g[c];
        const float above = value <= 0 ? 0 : gradient;
        const float masked = value >= high ? 0 : above;
        dx[c] = masked * scale[c];
        sums[c] += masked;
        dots[c] += masked * (value - bias[c]);
      }
  }
};

THAW_INLINE at::Tensor HeldNormRelu::forward(torch::autograd::AutogradContext* ctx, at::Tensor x,
                                             const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& mean,
                                             const at::Tensor& inverse, double high, bool trains) {
  const at::Tensor scale = inverse * weight;
  // A weight that is small beside its bias cannot be divided out of the result: such channels keep their input.
  at::Tensor few, inputs;
  if (trains) {
    few = (weight.abs() <= 0.01 * bias.abs()).logical_or(weight.abs() < 1e-20).nonzero().squeeze(1);
    inputs = x.index_select(1, few);
  }
  const std::int64_t channels = x.size(1), rows = x.numel() / channels;
  auto* const values = x.data_ptr<float>();
  const auto *const a = scale.const_data_ptr<float>(), *const m = mean.const_data_ptr<float>(),
             *const b = bias.const_data_ptr<float>();
  const bool fma = has_fma();
  std::vector<float> shift(static_cast<std::size_t>(channels));
  for (std::size_t c = 0; c < shift.size(); ++c) shift[c] = fma ? std::fma(-m[c], a[c], b[c]) : b[c] - m[c] * a[c];
  at::parallel_for(0, rows, std::max<std::int64_t>(1, 32'768 / channels), [&](std::int64_t begin, std::int64_t end) {
    const auto run = [&](const auto& loop) {
      vectorized(loop, values + begin * channels, a, shift.data(), end - begin, channels, static_cast<float>(high));
    };
    fma ? run(NormReluLoop<true>{}) : run(NormReluLoop<false>{});
  });
  ctx->mark_dirty({x});
  ctx->save_for_backward({x, weight, bias, mean, inverse, scale, few, inputs});
  ctx->saved_data["high"] = high;
  return x;
}

THAW_INLINE torch::autograd::variable_list HeldNormRelu::backward(torch::autograd::AutogradContext* ctx,
                                                                  torch::autograd::variable_list gradients) {
  if (at::GradMode::is_enabled())
    throw ConfigError("norm_relu", "create_graph asks for gradients of gradients, which it does not have",
                      "train without, or run the model's norm layers in training mode");
  const auto saved = ctx->get_saved_variables();
  const at::Tensor &y = saved[0], &weight = saved[1], &bias = saved[2], &mean = saved[3], &inverse = saved[4],
                   &scale = saved[5], &few = saved[6], &inputs = saved[7];
  const at::Tensor g = gradients[0].to(at::kFloat).contiguous(at::MemoryFormat::ChannelsLast);
  at::Tensor dx = at::empty_like(y, at::MemoryFormat::ChannelsLast);
  const auto high = static_cast<float>(ctx->saved_data["high"].toDouble());
  const std::int64_t channels = y.size(1), rows = y.numel() / channels;
  // Sums over blocks whose number does not depend on that of the threads, in float32 over 128 rows, then in double.
  const std::int64_t blocks = std::clamp<std::int64_t>(y.numel() / 65'536, 1, 64), 
                     length = (rows + blocks - 1) / blocks;
  const at::Tensor partial = at::zeros({blocks, 2, channels}, at::kDouble);
  const auto *const from = g.const_data_ptr<float>(), *const result = y.const_data_ptr<float>(),
             *const a = scale.const_data_ptr<float>(), *const b = bias.const_data_ptr<float>();
  auto* const to = dx.data_ptr<float>();
  auto* const all = partial.data_ptr<double>();
  at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> sums(static_cast<std::size_t>(2 * channels));
    for (std::int64_t block = begin; block < end; ++block)
      for (std::int64_t row = block * length, last = std::min(rows, row + length); row < last; row += 128) {
        const std::int64_t at = row * channels;
        std::ranges::fill(sums, 0.0F);
        vectorized(NormReluBackwardLoop{}, from + at, result + at, a, b, to + at, sums.data(), sums.data() + channels,
                   std::min<std::int64_t>(128, last - row), channels, high);
        for (std::int64_t c = 0; c < 2 * channels; ++c)
          all[block * 2 * channels + c] += static_cast<double>(sums[static_cast<std::size_t>(c)]);
      }
  });
  const at::Tensor total = partial.sum(0), d_bias = total[0].to(at::kFloat);
  if (!few.defined()) return {dx, {}, d_bias, {}, {}, {}, {}};
  at::Tensor d_weight = (total[1] / weight).to(at::kFloat);
  if (few.numel() > 0) {
    const auto of = [&](const at::Tensor& tensor) { return tensor.index_select(0, few).view({1, -1, 1, 1}); };
    const at::Tensor result_of_few = y.index_select(1, few);
    const at::Tensor masked =
        at::where(result_of_few.le(0).logical_or(result_of_few.ge(high)), 0, g.index_select(1, few));
    d_weight.index_copy_(0, few, (masked * ((inputs - of(mean)) * of(inverse))).sum({0, 2, 3}));
  }
  return {dx, d_weight, d_bias, {}, {}, {}, {}};
}

/// Whether the pass can be one: x and all that the norm computes with.
THAW_INLINE bool is_held(const torch::nn::BatchNorm2dImpl& norm, const at::Tensor& x) {
  const auto plain = [](const at::Tensor& tensor) {
    return tensor.defined() && tensor.is_cpu() && tensor.scalar_type() == at::kFloat && tensor.is_contiguous();
  };
  return !norm.is_training() && x.is_cpu() && x.scalar_type() == at::kFloat && x.dim() == 4 && x.numel() > 0 &&
         x.is_contiguous(at::MemoryFormat::ChannelsLast) && x.size(1) == norm.options.num_features() &&
         plain(norm.weight) && plain(norm.bias) && plain(norm.running_mean) && plain(norm.running_var) &&
         !(x.is_leaf() && x.requires_grad()) &&
         !c10::impl::tls_is_dispatch_key_included(c10::DispatchKey::Tracer);  // which records LibTorch's operators
}

}  // namespace thaw::models::detail

namespace thaw::models {

THAW_INLINE at::Tensor norm_relu(torch::nn::BatchNorm2d& norm, at::Tensor x, float high) {
  if (!detail::is_held(*norm, x)) {
    x = norm(x);
    return high < no_limit ? at::relu6_(x) : at::relu_(x);
  }
  at::Tensor inverse = at::empty_like(norm->running_var);  // ATen's own sqrt, by MKL, rounds otherwise
  std::transform(norm->running_var.const_data_ptr<float>(), norm->running_var.const_data_ptr<float>() + x.size(1),
                 inverse.data_ptr<float>(), [eps = static_cast<float>(norm->options.eps())](float variance) {
                   return 1 / std::sqrt(variance + eps);
                 });
  return detail::HeldNormRelu::apply(std::move(x), norm->weight, norm->bias, norm->running_mean, inverse,
                                     static_cast<double>(high),
                                     at::GradMode::is_enabled() && norm->weight.requires_grad());
}

}  // namespace thaw::models

#endif
