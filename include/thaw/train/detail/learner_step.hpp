#pragma once

// One step: members of Learner. Included by thaw/train/learner.hpp alone.

#include <ATen/TensorOperators.h>
#include <ATen/ops/_foreach_mul.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <thaw/core/out_of_memory.hpp>
#include <thaw/train/detail/check_source.hpp>
#include <thaw/train/detail/too_few_for_norm.hpp>
#include <thaw/train/learner.hpp>

namespace thaw {

/// One optimizer step on the gradients of `first` and what follows, up to `batches` batches: of the mean over all their
/// samples. None, and no step, where there is no batch or a callback stops the stage before it.
THAW_INLINE std::optional<Learner::StepLoss> Learner::step(const detail::SplitModel* split, std::optional<Drawn> first,
                                                           BatchStream& next, std::int64_t batches,
                                                           const std::vector<Callback>& callbacks) {
  at::Tensor sum;
  std::int64_t samples = 0, unit = 1;
  const auto processes = static_cast<double>(world_.size());  // gradients are means over them
  skip_ = false;
  std::optional<Drawn> now = std::move(first);
  for (std::int64_t i = 1; now && !stop_; ++i) {
    std::optional<Drawn> following;
    if (i < batches && !world_.is_single())
      following = draw(next);  // to know which one is the last, and sends gradients
    if (stop_) break;
    const std::int64_t n = now->samples;
    if (i == 1 && (grad_scaler_ || batches == 1)) unit = n;  // a sum over samples would overflow float16
    const double weight = static_cast<double>(now->batch.counted()) * processes / static_cast<double>(unit);
    const std::optional<at::Tensor> loss = gradients_of(split, now->batch, weight, !following, callbacks);
    if (!loss) break;
    samples += n;
    sum = sum.defined() ? sum + *loss : *loss;
    now = i < batches && world_.is_single() ? draw(next) : std::move(following);
  }
  const bool told = std::ranges::any_of(callbacks, &Callback::hears<GradientsReady>);
  const bool overflowed = samples > 0 && grad_scaler_ && !skip_ &&
                          grad_scaler_->unscale(groups_.gradients(), *optimizer_, /*waits=*/told || finding_lr_);
  if (grad_scaler_ && !finding_lr_ && !grad_scaler_->may_fall())
    throw DataError("Precision::float16", "gradients are not finite, however the loss is scaled",
                    "lower the rates, or train at Precision::bfloat16 or ::full");
  if (samples > 0 && !stop_ && !world_.is_single()) {
    sum = sum / processes;
    world_.sum(sum);
  }
  if (samples > 0 && batches > 1 && !stop_) {
    const c10::NoGradGuard no_grad;
    const double units = static_cast<double>(samples) / static_cast<double>(unit);
    at::_foreach_mul_(groups_.gradients(), 1 / units);
    sum.div_(units);
  }
  if (samples > 0 && !stop_ && !overflowed && !skip_ && told)
    agree_on_step(detail::failure_of([&] { tell(callbacks, GradientsReady{.learner = *this}); }));
  const bool steps = samples > 0 && !stop_;
  if (steps && !overflowed && !skip_) {
    if (world_.is_single())
      optimizer_->step();
    else
      world_.backend()->step();
  }
  optimizer_->zero_grad();
  if (!steps) return std::nullopt;
  return StepLoss{.loss = sum, .samples = samples, .overflowed = overflowed, .skipped = skip_};
}

/// Adds the gradients of a batch's loss, times `weight`, which it returns; `last`: and makes their sum the mean over
/// all processes. None where a callback stops the stage.
THAW_INLINE std::optional<at::Tensor> Learner::gradients_of(const detail::SplitModel* split, const Batch& host,
                                                            double weight, bool last,
                                                            const std::vector<Callback>& callbacks) {
  at::Tensor loss;
  std::exception_ptr failed;
  const auto attempt = [&](const auto& call) {
    try {
      call();
    } catch (const std::exception& error) {
      failed = std::current_exception();
      if (host.size() == 1 && detail::is_too_few_for_norm(error))
        failed = std::make_exception_ptr(detail::too_few_for_norm("training data"));
      if (!detail::is_out_of_memory(error)) return;
      optimizer_->zero_grad();
      failed = std::make_exception_ptr(
          MemoryError("Learner",
                      "a batch of " + std::to_string(host.size()) + " samples does not fit into the memory of " +
                          device().str() + ": " + std::string(error.what()).substr(0, 200),
                      "lower the batch size (GradientAccumulation keeps the step's), or train fewer layer groups"));
    } catch (...) {
      failed = std::current_exception();
    }
  };
  const auto forward = [&](Batch& batch) {
    const at::Tensor mean = loss_of(split, batch, callbacks);
    return weight != 1 ? mean * weight : mean;
  };
  const auto backward = [&](const at::Tensor& from) {
    const at::Tensor scaled = grad_scaler_ ? grad_scaler_->scaled(from) : from;
    if (last && !world_.is_single())
      world_.backend()->backward(scaled);
    else
      scaled.backward();
  };
  bool replayed = false;
  attempt([&] {
    const std::shared_ptr<void> in_forward = world_.in_forward(!host.stand_in);
    Batch batch = host.to(device());
    make_ready(split, batch, callbacks);
    if (cuda_graphs_ && !stop_ && !skip_)
      loss = replay(split, batch, weight, [&](Batch& given) {
        const at::Tensor captured = forward(given);
        backward(captured);
        return captured.detach();
      });
    replayed = loss.defined();
    if (!replayed) loss = forward(batch);
    if (!loss.requires_grad() && !replayed && !stop_ && !skip_)
      throw ConfigError("Learner", "the loss does not depend on anything that trains in this stage",
                        "thaw a layer group that the model's output comes from");
  });
  agree_on_step(failed);
  if (stop_) return std::nullopt;
  if (!skip_ && !replayed) attempt([&] { backward(loss); });
  if (failed) std::rethrow_exception(failed);
  return loss.detach();
}

/// The same by a captured pass, if the batch has the shapes that the first one had; else undefined.
template <class Pass>
at::Tensor Learner::replay(const detail::SplitModel* split, const Batch& batch, double weight, const Pass& pass) {
  detail::PassKey key = detail::PassKey::of(groups_, split);
  if (!graph_ || graph_->key() != key) {
    graph_.reset();  // its memory first
    graph_ = std::make_unique<detail::PassGraph>(std::move(key), groups_, batch, weight, pass);
  }
  return graph_->takes(batch, weight) ? graph_->replay(batch) : at::Tensor();
}

/// Whether callbacks want to end the stage, or to leave the step out.
THAW_INLINE void Learner::agree_on_step(const std::exception_ptr& failed) {
  if (world_.is_single() && !failed) return;
  const std::vector<double> sums = world_.all_reduce({stop_ ? 1.0 : 0.0, skip_ ? 1.0 : 0.0}, failed);
  agree_on_stop(sums[0]);
  skip_ = sums[1] > 0;
}

/// Lets callbacks change the batch.
THAW_INLINE void Learner::make_ready(const detail::SplitModel* split, Batch& batch,
                                     const std::vector<Callback>& callbacks) {
  const bool kept = split && split->kept();
  const Fields given = kept ? batch.input : Fields();
  tell(callbacks, BatchReady{.learner = *this, .batch = batch});
  if (kept && !std::ranges::equal(given, batch.input, [](const auto& a, const auto& b) { return a.is_same(b); }))
    throw ConfigError("Cache", "a callback changes the inputs (MixUp?), but what the model made of them is kept",
                      "train this stage without the callback, or without a cache");
}

THAW_INLINE at::Tensor Learner::loss_of(const detail::SplitModel* split, Batch& batch,
                                        const std::vector<Callback>& callbacks) {
  const detail::Task& task = split ? split->task : task_;
  const Fields output = task.forward(batch.input);
  at::Tensor loss = detail::tried_loss(task, output, batch.target, "training data");
  tell(callbacks, LossReady{.learner = *this, .batch = batch, .output = output, .loss = loss, .criterion = task.loss});
  return loss;
}

}  // namespace thaw
