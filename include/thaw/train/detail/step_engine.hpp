// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One step.

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/out_of_memory.hpp>
#include <thaw/train/detail/check_source.hpp>
#include <thaw/train/detail/control.hpp>
#include <thaw/train/detail/grad_scaler.hpp>
#include <thaw/train/detail/pass_graph.hpp>
#include <thaw/train/detail/running_stage.hpp>
#include <thaw/train/detail/setup.hpp>
#include <thaw/train/detail/too_few_samples.hpp>

namespace thaw::detail {

/// What one optimizer step saw.
struct StepLoss {
  at::Tensor loss;  // the mean over its samples, detached, on the device
  std::int64_t samples;
  bool overflowed;  // its gradients, at Precision::float16, so that there was no step: as far as is known
  bool skipped;     // a callback wanted that
};

/// The loss of a batch, as one term of a step's.
struct LossTerm {
  at::Tensor loss;
  at::Tensor weight = {};  // how much its mean is over, a scalar; undefined: its samples
};

/// What all steps of a stage, or of an LR finder, have in common.
struct StepKind {
  const SplitModel* split;  // null: the whole model runs
  std::int64_t batches;     // whose gradients add up, at most
  const std::vector<Callback>& callbacks;
};

/// Does optimizer steps: forward, backward, update. Owns what lives from step to step: the loss scale of float16, and a
/// captured pass.
class StepEngine {
 public:
  StepEngine(Learner& learner, Setup& setup, Control& control, Precision precision)
      : learner_(learner), setup_(setup), control_(control) {
    if (precision == Precision::float16) scaler_ = std::make_unique<GradScaler>();
  }

  /// One optimizer step on the gradients of `first` and what follows: of the mean over all that counts in them. None,
  /// and no step, where there is no batch or a callback stops the stage before it.
  std::optional<StepLoss> step(const StepKind& kind, std::optional<Drawn> first, BatchStream& next);

  /// The mean loss, now, of batches that a step trained on, as a step computes it.
  double loss_again(const std::vector<Batch>& batches, const std::vector<Callback>& callbacks);

  /// Throws ConfigError where a callback must see each loss, which no host does when a captured pass is replayed.
  void check_graphs(const std::vector<Callback>& callbacks) const;
  void forget_graph() { graph_.reset(); }

  // Of float16; without it there is nothing to know.
  /// Steps left out, since gradients overflowed, that were not asked for before.
  [[nodiscard]] std::int64_t overflowed() const { return scaler_ ? scaler_->skipped() : 0; }
  void forget_overflowed() const {
    if (scaler_) scaler_->forget_skipped();
  }
  [[nodiscard]] bool scale_may_fall() const { return !scaler_ || scaler_->may_fall(); }
  void settle() const {
    if (scaler_) scaler_->settle();
  }
  void visit(const StateVisitor& state) const {
    if (scaler_) scaler_->visit(state.in("loss scale"), setup_.device());
  }

  /// While it lives, steps are an LR finder's: each is waited for, and the loss scale is put back.
  class ForFinder {
   public:
    explicit ForFinder(StepEngine& engine) : engine_(engine), scaler_(std::move(engine.scaler_)) {
      if (scaler_) engine_.scaler_ = std::make_unique<GradScaler>(scaler_->copy());
      engine_.finding_lr_ = true;
      engine_.control_.begin();
    }
    ~ForFinder() {
      engine_.scaler_ = std::move(scaler_);
      engine_.finding_lr_ = false;
      engine_.control_.end();
      engine_.forget_graph();
    }
    ForFinder(const ForFinder&) = delete;
    ForFinder& operator=(const ForFinder&) = delete;

   private:
    StepEngine& engine_;
    std::unique_ptr<GradScaler> scaler_;
  };
  [[nodiscard]] bool finding_lr() const { return finding_lr_; }

 private:
  std::optional<at::Tensor> gradients_of(const StepKind& kind, const Batch& host, double weight, bool last);
  template <class Pass>
  at::Tensor replay(const SplitModel* split, const Batch& batch, double weight, const Pass& pass);
  void make_ready(const StepKind& kind, Batch& batch);
  LossTerm loss_of(const StepKind& kind, Batch& batch, bool weighed);

  Learner& learner_;
  Setup& setup_;
  Control& control_;
  std::unique_ptr<GradScaler> scaler_ = {};  // null but for Precision::float16
  std::unique_ptr<PassGraph> graph_ = {};    // of the running fit or LR finder
  bool finding_lr_ = false;
};

}  // namespace thaw::detail

#if THAW_DEFINES(train)

namespace thaw::detail {

THAW_INLINE std::optional<StepLoss> StepEngine::step(const StepKind& kind, std::optional<Drawn> first,
                                                     BatchStream& next) {
  const World& world = setup_.world;
  at::Tensor sum;
  std::int64_t samples = 0, unit = 1;
  const auto processes = static_cast<double>(world.size());  // gradients are means over them
  control_.begin_step();
  setup_.groups.check_flags();
  std::optional<Drawn> now = std::move(first);
  for (std::int64_t i = 1; now && !control_.stopped(); ++i) {
    std::optional<Drawn> following;
    if (i < kind.batches && !world.is_single())
      following = control_.draw(next);  // to know which one is the last, and sends gradients
    if (control_.stopped()) break;
    const std::int64_t n = now->samples;
    if (i == 1 && (scaler_ || kind.batches == 1)) unit = n;  // a sum over samples would overflow float16
    const double weight = static_cast<double>(now->batch.counted()) * processes / static_cast<double>(unit);
    const std::optional<at::Tensor> loss = gradients_of(kind, now->batch, weight, !following);
    if (!loss) break;
    samples += n;
    sum = sum.defined() ? sum + *loss : *loss;
    now = i < kind.batches && world.is_single() ? control_.draw(next) : std::move(following);
  }
  const bool any = samples > 0;
  const bool told = std::ranges::any_of(kind.callbacks, &Callback::hears<GradientsReady>);
  const bool overflowed = any && scaler_ && !control_.skips() &&
                          scaler_->unscale(setup_.groups.gradients(), *setup_.optimizer, /*waits=*/told || finding_lr_);
  if (!finding_lr_ && !scale_may_fall())
    throw DataError("Precision::float16", "gradients are not finite, however the loss is scaled",
                    "lower the rates, or train at Precision::bfloat16 or ::full");
  if (any && !control_.stopped()) sum = world.mean(sum);
  if (any && !control_.stopped() && sum.dim() == 1) {  // beside the loss what it is over
    const c10::NoGradGuard no_grad;
    const at::Tensor scale = at::where(sum[1].gt(0), sum[1].reciprocal(), 0);
    at::_foreach_mul_(setup_.groups.gradients(), scale);
    sum = sum[0] * scale;
  } else if (any && kind.batches > 1 && !control_.stopped()) {
    const c10::NoGradGuard no_grad;
    const double units = static_cast<double>(samples) / static_cast<double>(unit);
    at::_foreach_mul_(setup_.groups.gradients(), 1 / units);
    sum.div_(units);
  }
  if (any && !control_.stopped() && !overflowed && !control_.skips() && told)
    control_.agree_on_step(failure_of([&] { tell(kind.callbacks, GradientsReady{.learner = learner_}); }));
  const bool steps = any && !control_.stopped();
  if (steps && !overflowed && !control_.skips()) world.step(*setup_.optimizer);
  setup_.optimizer->zero_grad();
  if (!steps) return std::nullopt;
  return StepLoss{.loss = sum, .samples = samples, .overflowed = overflowed, .skipped = control_.skips()};
}

/// Adds the gradients of a batch's loss, times `weight`, which it returns; `last`: and makes their sum the mean over
/// all processes. Where the loss says how much its mean is over, and the step has other batches to weigh it against, it
/// is weighed by that too, which is returned behind it. None where a callback stops the stage.
THAW_INLINE std::optional<at::Tensor> StepEngine::gradients_of(const StepKind& kind, const Batch& host, double weight,
                                                               bool last) {
  LossTerm term;
  std::exception_ptr failed;
  const auto attempt = [&](const auto& call) {
    try {
      call();
    } catch (const std::exception& error) {
      failed = std::current_exception();
      if (host.size() == 1 && is_too_few_for_norm(error))
        failed = std::make_exception_ptr(too_few_for_norm("training data"));
      if (!is_out_of_memory(error)) return;
      setup_.optimizer->zero_grad();
      failed = std::make_exception_ptr(
          MemoryError("Learner",
                      "a batch of " + std::to_string(host.size()) + " samples does not fit into the memory of " +
                          setup_.device().str() + ": " + std::string(error.what()).substr(0, 200),
                      "lower the batch size (GradientAccumulation keeps the step's), or train fewer layer groups"));
    } catch (...) {
      failed = std::current_exception();
    }
  };
  const auto forward = [&](Batch& batch) {
    LossTerm own = loss_of(kind, batch, kind.batches > 1 || !setup_.world.is_single());
    if (own.weight.defined()) {
      own.weight = (own.weight * weight).to(own.loss.options().requires_grad(false));
      own.loss = own.loss * own.weight;
    } else if (weight != 1) {
      own.loss = own.loss * weight;
    }
    return own;
  };
  const auto detached = [](const LossTerm& own) {
    const at::Tensor loss = own.loss.detach();
    return own.weight.defined() ? at::stack({loss.reshape({}), own.weight}) : loss;
  };
  const auto backward = [&](const at::Tensor& from) {
    setup_.world.backward(scaler_ ? scaler_->scaled(from) : from, last);
  };
  const auto goes_on = [&] { return !control_.stopped() && !control_.skips(); };
  at::Tensor replayed;
  attempt([&] {
    const auto in_forward = setup_.world.in_forward(!host.stand_in);
    Batch batch = host.to(setup_.device());
    make_ready(kind, batch);
    if (setup_.cuda_graphs && goes_on())
      replayed = replay(kind.split, batch, weight, [&](Batch& given) {
        const LossTerm captured = forward(given);
        backward(captured.loss);
        return detached(captured);
      });
    if (!replayed.defined()) term = forward(batch);
    if (!replayed.defined() && !term.loss.requires_grad() && goes_on())
      throw ConfigError("Learner", "the loss does not depend on anything that trains in this stage",
                        "thaw a layer group that the model's output comes from, and let the loss be a function of that "
                        "output: without detach(), item(), argmax() or whole numbers");
  });
  control_.agree_on_step(failed);
  if (control_.stopped()) return std::nullopt;
  if (!control_.skips() && !replayed.defined()) attempt([&] { backward(term.loss); });
  if (failed) std::rethrow_exception(failed);
  return replayed.defined() ? replayed : detached(term);
}

/// The same by a captured pass, if the batch has the shapes that the first one had; else undefined.
template <class Pass>
at::Tensor StepEngine::replay(const SplitModel* split, const Batch& batch, double weight, const Pass& pass) {
  PassKey key = PassKey::of(setup_.groups, split);
  if (!graph_ || graph_->key() != key) {
    graph_.reset();  // its memory first
    graph_ = std::make_unique<PassGraph>(std::move(key), setup_.groups, batch, weight, pass);
  }
  return graph_->takes(batch, weight) ? graph_->replay(batch) : at::Tensor();
}

/// Lets callbacks change the batch.
THAW_INLINE void StepEngine::make_ready(const StepKind& kind, Batch& batch) {
  const bool kept = kind.split && kind.split->kept();
  const Fields given = kept ? batch.input : Fields();
  tell(kind.callbacks, BatchReady{.learner = learner_, .batch = batch});
  if (batch.size() == 0) throw no_samples("a callback's on_batch_ready");
  if (kept && !std::ranges::equal(given, batch.input, [](const auto& a, const auto& b) { return a.is_same(b); }))
    throw ConfigError("Cache", "a callback changes the inputs (MixUp?), but what the model made of them is kept",
                      "train this stage without the callback, or without a cache");
}

/// `weighed`: with its weight, where the loss says one.
THAW_INLINE LossTerm StepEngine::loss_of(const StepKind& kind, Batch& batch, bool weighed) {
  const Task& task = kind.split ? kind.split->task : setup_.task;
  const Fields output = tried_forward(task, batch.input, setup_.groups, setup_.mode->layout, "training data");
  at::Tensor loss = tried_loss(task, output, batch.target, "training data");
  tell(kind.callbacks,
       LossReady{.learner = learner_, .batch = batch, .output = output, .loss = loss, .criterion = task.loss});
  if (loss.numel() != 1)
    throw ConfigError("a callback's on_loss_ready", "it leaves a loss of " + shapes_text(loss), "leave one number");
  if (!weighed || !task.counted) return {.loss = loss};
  const c10::NoGradGuard no_grad;
  return {.loss = loss, .weight = task.counted(output, batch.target)};
}

THAW_INLINE double StepEngine::loss_again(const std::vector<Batch>& batches, const std::vector<Callback>& callbacks) {
  const c10::NoGradGuard no_grad;
  const StepKind kind{.split = nullptr, .batches = 1, .callbacks = callbacks};
  at::Tensor sum;  // of losses, each by what it is over; of that
  for (const Batch& host : batches) {
    const auto in_forward = setup_.world.in_forward(!host.stand_in);
    Batch batch = host.to(setup_.device());
    make_ready(kind, batch);
    const LossTerm term = loss_of(kind, batch, /*weighed=*/true);
    const at::Tensor loss = term.loss.to(at::kDouble).reshape({});
    const at::Tensor weight = term.weight.defined() ? term.weight.to(loss.options()) : at::ones({}, loss.options());
    const at::Tensor both = at::stack({loss * weight, weight}) * static_cast<double>(host.counted());
    sum = sum.defined() ? sum + both : both;
  }
  setup_.world.sum(sum);
  return sum[0].item<double>() / sum[1].item<double>();
}

THAW_INLINE void StepEngine::check_graphs(const std::vector<Callback>& callbacks) const {
  if (!setup_.cuda_graphs) return;
  for (const Callback& callback : callbacks)
    if (callback.hears<LossReady>())
      throw ConfigError("LearnerOptions::cuda_graphs", callback.name() + " hears of the loss within each step",
                        "leave it off, or train without that callback");
}

}  // namespace thaw::detail

#endif
