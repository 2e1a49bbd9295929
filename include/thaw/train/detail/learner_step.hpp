#pragma once

// One step: members of Learner. Included by thaw/train/learner.hpp alone.

#include <ATen/TensorOperators.h>
#include <ATen/ops/_foreach_mul.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <exception>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <thaw/train/detail/too_few_for_norm.hpp>
#include <thaw/train/learner.hpp>

namespace thaw {

namespace detail {

/// Whether it says that memory could not be had: C++'s own, a device's, or LibTorch's on the CPU.
[[nodiscard]] inline bool is_out_of_memory(const std::exception& error) {
  return dynamic_cast<const std::bad_alloc*>(&error) != nullptr ||
         dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr ||
         std::string_view(error.what()).find("DefaultCPUAllocator") != std::string_view::npos;
}

}  // namespace detail

/// One optimizer step on the gradients of `first` and what follows, up to `batches` batches: of the mean over all their
/// samples. None, and no step, where there is no batch or a callback stops the stage before it.
inline std::optional<Learner::StepLoss> Learner::step(const Halves* halves, std::optional<Batch> first,
                                                      BatchStream& next, std::int64_t batches,
                                                      const std::vector<Callback>& callbacks) {
  at::Tensor sum;
  std::int64_t samples = 0, unit = 1;
  skip_ = false;
  for (std::int64_t i = 0; i < batches && !stop_; ++i) {
    const std::optional<Batch> host = i == 0 ? std::exchange(first, {}) : next();
    if (!host) break;
    const std::int64_t n = host->size();
    if (i == 0 && loss_scale_) unit = n;  // a sum over samples would overflow float16
    const double weight = batches > 1 ? static_cast<double>(n) / static_cast<double>(unit) : 1;
    const std::optional<at::Tensor> loss = gradients_of(halves, *host, weight, callbacks);
    if (!loss) break;
    samples += n;
    sum = sum.defined() ? sum + *loss : *loss;
  }
  const bool overflowed = samples > 0 && loss_scale_ && !skip_ && !loss_scale_->unscale(groups_.gradients());
  if (overflowed && !sweeping_ && !loss_scale_->may_fall())
    throw DataError("Precision::float16", "gradients are not finite, however the loss is scaled",
                    "lower the rates, or train at Precision::bfloat16 or ::full");
  if (samples > 0 && batches > 1 && !stop_) {
    const c10::NoGradGuard no_grad;
    const double units = static_cast<double>(samples) / static_cast<double>(unit);
    at::_foreach_mul_(groups_.gradients(), 1 / units);
    sum.div_(units);
  }
  if (samples > 0 && !stop_ && !overflowed && !skip_) tell(callbacks, GradientsReady{.learner = *this});
  const bool steps = samples > 0 && !stop_;
  if (steps && !overflowed && !skip_) optimizer_->step();
  optimizer_->zero_grad();
  if (!steps) return std::nullopt;
  return StepLoss{.loss = sum, .samples = samples, .overflowed = overflowed, .skipped = skip_};
}

/// Adds the gradients of a batch's loss, times `weight`, which it returns. None where a callback stops the stage.
inline std::optional<at::Tensor> Learner::gradients_of(const Halves* halves, const Batch& host, double weight,
                                                       const std::vector<Callback>& callbacks) {
  try {
    Batch batch = host.to(device());
    at::Tensor loss = loss_of(halves, batch, callbacks);
    if (stop_) return std::nullopt;
    if (weight != 1) loss = loss * weight;
    if (!skip_) (loss_scale_ ? loss_scale_->scaled(loss) : loss).backward();
    return loss.detach();
  } catch (const std::exception& error) {
    if (host.size() == 1 && detail::is_too_few_for_norm(error)) throw detail::too_few_for_norm("training data");
    if (!detail::is_out_of_memory(error)) throw;
    optimizer_->zero_grad();
    throw MemoryError("Learner",
                      "a batch of " + std::to_string(host.size()) + " samples does not fit into the memory of " +
                          device().str() + ": " + std::string(error.what()).substr(0, 200),
                      "lower the batch size (GradientAccumulation keeps the step's), or train fewer layer groups");
  }
}

inline at::Tensor Learner::loss_of(const Halves* halves, Batch& batch, const std::vector<Callback>& callbacks) {
  const detail::Task& task = halves ? halves->task : task_;
  const bool kept = halves && halves->kept();
  const Fields given = kept ? batch.input : Fields();
  tell(callbacks, BatchReady{.learner = *this, .batch = batch});
  if (kept && !std::ranges::equal(given, batch.input, [](const auto& a, const auto& b) { return a.is_same(b); }))
    throw ConfigError("Cache", "a callback changes the inputs (MixUp?), but what the model made of them is kept",
                      "train this stage without the callback, or without a cache");
  const Fields output = task.forward(batch.input);
  at::Tensor loss;
  try {
    loss = task.loss(output, batch.target);
  } catch (const c10::Error&) {
    if (task.check) task.check(output, batch.target);  // says it better, where it can
    throw;
  }
  tell(callbacks, LossReady{.learner = *this, .batch = batch, .output = output, .loss = loss, .criterion = task.loss});
  return loss;
}

}  // namespace thaw
