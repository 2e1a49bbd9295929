// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/OpMathType.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/batch_norm_ops.h>
#include <ATen/ops/batch_norm_update_stats.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/native_batch_norm.h>
#include <ATen/ops/native_batch_norm_backward.h>
#include <ATen/ops/stack.h>
#include <c10/core/DispatchKeySet.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <cstdint>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/distributed/processes.hpp>
#include <thaw/train/world.hpp>

namespace thaw::distributed {

namespace detail {

/// Who takes part in the batch norms of a thread, and whether its own samples count.
struct Together {
  Processes processes;
  bool counts = true;
};

/// Of this thread; null where nobody does.
inline const Together*& together() {
  thread_local const Together* of_thread = nullptr;
  return of_thread;
}

/// Of the values that each channel has in all processes: mean and biased variance, in double, and how many there are.
struct Moments {
  at::Tensor mean, variance;
  double count = 0;
};

/// The squares are summed from the mean of all, since E[x^2] - mean^2 loses the variance of what is far from 0.
[[nodiscard]] inline Moments moments_of_all(const at::Tensor& input, const Together& of) {
  const double here = of.counts ? static_cast<double>(input.numel()) / static_cast<double>(input.size(1)) : 0;
  const auto [mean_here, variance_here] = at::batch_norm_update_stats(input, {}, {}, 0);
  const auto options = mean_here.options().dtype(at::kDouble);
  at::Tensor sums = at::cat({mean_here.to(at::kDouble) * here, at::full({1}, here, options)});
  of.processes.sum(sums);
  const auto count = sums[-1].item<double>();
  TORCH_CHECK(count > 1, "Expected more than 1 value per channel when training, got ", count,
              " in all processes together, input size ", input.sizes(), " in this one");
  const at::Tensor mean = sums.slice(0, 0, -1) / count;
  at::Tensor squares = (variance_here + (mean_here - mean).square()) * here;
  of.processes.sum(squares);
  return {.mean = mean, .variance = squares / count, .count = count};
}

/// y = (x - mean) / sqrt(variance + eps) * weight + bias, where mean and variance depend on the x of all processes. Its
/// node lives longer than the guard, so it holds the process group.
struct BatchNormOfAll : torch::autograd::Function<BatchNormOfAll> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& weight, const at::Tensor& bias, const Moments& all, const Together& of,
                            double eps) {
    const at::Tensor mean = all.mean.to(input.scalar_type()), variance = all.variance.to(input.scalar_type());
    context->save_for_backward({input, weight, mean, variance});
    context->saved_data["group"] = of.processes.group();
    context->saved_data["counts"] = of.counts;
    context->saved_data["count"] = all.count;
    context->saved_data["eps"] = eps;
    return std::get<0>(at::native_batch_norm(input, weight, bias, mean, variance, /*training=*/false, 0, eps));
  }

  /// With g = dL/dy, s = weight / sqrt(variance + eps) and n of x^ = (x - mean) / sqrt(variance + eps) that count:
  /// dL/dx = s (g - sum(g) / n - x^ sum(g x^) / n), both sums over all processes, the last two terms where x counts.
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& of_output) {
    if (c10::GradMode::is_enabled())
      throw ConfigError("SyncBatchNorm", "it has no second derivative, which backward with create_graph asks for",
                        "hold the norm layers, or leave SyncBatchNorm out");
    const auto saved = context->get_saved_variables();
    const at::Tensor &input = saved[0], &weight = saved[1], &mean = saved[2], &variance = saved[3];
    const double eps = context->saved_data["eps"].toDouble(), count = context->saved_data["count"].toDouble();
    // that of statistics which do not move: s g, sum(g x^) and sum(g)
    auto [of_input, of_weight, of_bias] = at::native_batch_norm_backward(
        of_output[0], input, weight, mean, variance, {}, {}, /*train=*/false, eps, {true, true, true});
    if (context->needs_input_grad(0)) {
      at::Tensor sums = at::stack({of_bias, of_weight});
      Processes(context->saved_data["group"].toCustomClass<c10d::ProcessGroup>()).sum(sums);
      if (context->saved_data["counts"].toBool()) {
        std::vector<std::int64_t> channels(static_cast<std::size_t>(input.dim()), 1);
        channels[1] = -1;
        const at::Tensor inverse = (variance + eps).rsqrt(), scale = weight * inverse;
        const at::Tensor constant = scale * sums[0] / count, slope = scale * inverse * sums[1] / count;
        of_input.sub_(constant.view(channels)).addcmul_(input - mean.view(channels), slope.view(channels), -1);
      }
    }
    return {of_input, of_weight, of_bias, {}, {}, {}};
  }
};

/// Above autograd and autocast; nothing in LibTorch uses it.
constexpr auto sync_key = c10::DispatchKey::TESTING_ONLY_GenericMode;

/// What torch::batch_norm does while a SyncBatchNorm lives.
inline at::Tensor batch_norm(c10::DispatchKeySet keys, const at::Tensor& input, const std::optional<at::Tensor>& weight,
                             const std::optional<at::Tensor>& bias, const std::optional<at::Tensor>& running_mean,
                             const std::optional<at::Tensor>& running_var, bool training, double momentum, double eps,
                             bool cudnn_enabled) {
  if (!training || together() == nullptr || together()->processes.size() == 1)
    return at::_ops::batch_norm::redispatch(keys & c10::DispatchKeySet(c10::DispatchKeySet::FULL_AFTER, sync_key),
                                            input, weight, bias, running_mean, running_var, training, momentum, eps,
                                            cudnn_enabled);
  const at::Tensor wide_input = input.to(at::toOpMathType(input.scalar_type()));
  const auto wide = [&](const std::optional<at::Tensor>& each, double otherwise) {
    return each && each->defined() ? each->to(wide_input.scalar_type())
                                   : at::full({input.size(1)}, otherwise, wide_input.options());
  };
  const auto move = [&](const std::optional<at::Tensor>& running, const at::Tensor& seen) {
    if (running && running->defined()) running->copy_(running->to(at::kDouble).lerp(seen, momentum));
  };
  const Moments all = moments_of_all(wide_input.detach(), *together());
  move(running_mean, all.mean);
  move(running_var, all.variance * (all.count / (all.count - 1)));
  return BatchNormOfAll::apply(wide_input, wide(weight, 1), wide(bias, 0), all, *together(), eps)
      .to(input.scalar_type());
}

/// Once in a program: LibTorch has no kernels for the key, so all other operators must fall through it.
inline void intercept_batch_norm() {
  [[maybe_unused]] static const auto registered = [] {
    torch::Library every(torch::Library::IMPL, "_", sync_key, __FILE__, __LINE__);
    every.fallback(torch::CppFunction::makeFallthrough());
    torch::Library aten(torch::Library::IMPL, "aten", sync_key, __FILE__, __LINE__);
    aten.impl("batch_norm", &batch_norm);
    return std::pair(std::move(every), std::move(aten));
  }();
}

}  // namespace detail

/// While it lives, the batch norms that this thread trains see the samples of all processes: PyTorch's SyncBatchNorm,
/// for the model as it is. It takes the place of torch::batch_norm, which BatchNorm1d, 2d and 3d call.
///
///     const thaw::distributed::SyncBatchNorm sync(processes);
///     (loss(model->forward(batch.input[0]), batch.target[0]) * weight).backward();
///
/// Input of [N, C, ...] is normalised by the mean and the variance that each channel has over N and all further
/// dimensions in all processes; running_mean and running_var move by the layer's momentum towards these, the variance
/// unbiased, and so are the same in every process. The gradient of the input is exact, that of weight and bias is this
/// process's part, which GradientMean makes one of all. half and bfloat16 are computed in float. A forward pass costs
/// two sums of C numbers over all processes, a backward pass one of 2 C, also where the guard has ended before; layers
/// that are held (eval) cost nothing, and one process alone has plain batch norm.
///
/// `counts` = false is for a stand-in, whose loss weighs 0: it is normalised as all others are, and neither moves the
/// statistics nor gets a gradient through them.
///
/// Every process has to run the same layers in the same order. LibTorch's modules still refuse a part with one value
/// per channel before this sees it: a part, and a stand-in, of inputs [N, C] needs two samples. Guards may be nested:
/// the inner one is the one that holds. Throws c10::Error where all processes together have no two values per channel,
/// ProcessError as Processes::sum does, and in backward ConfigError where it shall have a graph (create_graph).
/// Source: PyTorch's torch.nn.SyncBatchNorm; Ioffe & Szegedy 2015, arXiv:1502.03167.
class SyncBatchNorm final : public World::ForwardScope {
 public:
  explicit SyncBatchNorm(Processes processes, bool counts = true)
      : together_{.processes = std::move(processes), .counts = counts}, outer_(detail::together()) {
    detail::intercept_batch_norm();
    detail::together() = &together_;
  }
  ~SyncBatchNorm() override { detail::together() = outer_; }
  SyncBatchNorm(const SyncBatchNorm&) = delete;
  SyncBatchNorm& operator=(const SyncBatchNorm&) = delete;

 private:
  detail::Together together_;
  const detail::Together* outer_;
  c10::impl::IncludeDispatchKeyGuard on_{detail::sync_key};
};

}  // namespace thaw::distributed
