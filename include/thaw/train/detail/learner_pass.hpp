#pragma once

// Passes over data without training, and the LR finder: members of Learner. Included by thaw/train/learner.hpp alone.

#include <ATen/ops/cat.h>
#include <c10/core/GradMode.h>
#include <c10/util/ScopeExit.h>

#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <thaw/data/spread_sample.hpp>
#include <thaw/train/detail/evaluate.hpp>
#include <thaw/train/detail/norm_notes.hpp>
#include <thaw/train/learner.hpp>

namespace thaw {

THAW_INLINE Evaluation Learner::validate(const DataSource& source) {
  if (!source || source.batches() == 0)
    throw DataError("Learner::validate", "there is no validation data",
                    "give LearnerOptions::valid at least one batch");
  share_buffers();
  const TrainingFlags as_it_was{*groups_.module()};
  groups_.eval();
  return detail::evaluate(task_, metrics_, source.stream(0, 0, world_.shard()), device(), world_);
}

THAW_INLINE Fields Learner::outputs(const Fields& input) {
  const c10::NoGradGuard no_grad;
  const TrainingFlags as_it_was{*groups_.module()};
  groups_.eval();
  return task_.forward(input.map([&](const at::Tensor& tensor) { return tensor.to(device()); }));
}

THAW_INLINE Fields Learner::outputs(const DataSource& source) {
  std::vector<Fields> all;
  BatchStream next = source ? source.in_order() : [] { return std::optional<Batch>(); };
  while (const std::optional<Batch> batch = next())
    all.push_back(outputs(Batch{.input = batch->input}.to(device()).input));
  if (all.empty()) throw DataError("Learner::predict", "the source is empty", "give it at least one batch");
  return all[0].map([&, i = std::size_t{0}](const at::Tensor&) mutable {
    std::vector<at::Tensor> parts;
    parts.reserve(all.size());
    for (const Fields& output : all) parts.push_back(output[i]);
    ++i;
    return at::cat(parts);
  });
}

THAW_INLINE void Learner::update_norm_statistics() {
  detail::check_norms_can_be_measured(groups_, "Learner::update_norm_statistics");
  const TrainingFlags as_it_was{*groups_.module()};
  groups_.train();
  std::vector<std::function<void()>> momenta;
  std::vector<at::Tensor> statistics;
  const auto restore = c10::make_scope_exit([&] {
    for (const auto& each : momenta) each();
  });
  for (std::size_t i = 0; i < groups_.size(); ++i)
    for (const auto& layer : groups_[i].norms)
      if (groups_.norm_of(i) != Norm::hold)
        detail::visit_norm(*layer, [&]<class Norm>(Norm& norm) {
          if constexpr (requires { norm.options.momentum(std::nullopt); }) {
            momenta.emplace_back([&norm, old = norm.options.momentum()] { norm.options.momentum(old); });
            norm.options.momentum(std::nullopt);  // LibTorch's way to ask for the plain mean
            norm.reset_running_stats();
            for (const at::Tensor& each : {norm.running_mean, norm.running_var})
              if (each.defined()) statistics.push_back(each);
          }
        });
  if (momenta.empty()) return;
  const c10::NoGradGuard no_grad;
  const std::shared_ptr<void> common = common_random();
  BatchStream next = data_.train.stream(epochs_begun_, 0, world_.shard());
  while (const std::optional<Batch> batch = next()) {
    const std::shared_ptr<void> forward = world_.in_forward(!batch->stand_in);
    (void)task_.forward(Batch{.input = batch->input}.to(device()).input);
  }
  if (world_.is_single() || world_.norm_sees_all()) return;
  for (at::Tensor& each : statistics) {  // the mean over processes, as it is one over batches
    world_.sum(each);
    each.div_(static_cast<double>(world_.size()));
  }
}

/// The mean loss, now, of batches that a step trained on, as a step computes it.
THAW_INLINE double Learner::loss_again(const std::vector<Batch>& batches, const std::vector<Callback>& callbacks) {
  const c10::NoGradGuard no_grad;
  at::Tensor sum;
  double samples = 0;
  for (const Batch& host : batches) {
    const std::shared_ptr<void> in_forward = world_.in_forward(!host.stand_in);
    Batch batch = host.to(device());
    make_ready(nullptr, batch, callbacks);
    const at::Tensor loss = loss_of(nullptr, batch, callbacks).to(at::kDouble) * static_cast<double>(host.counted());
    sum = sum.defined() ? sum + loss : loss;
    samples += static_cast<double>(host.counted());
  }
  if (!world_.is_single()) world_.sum(sum);
  return sum.item<double>() / world_.all_reduce({samples})[0];
}

THAW_INLINE LRCurve Learner::run_lr_find(const LRFinder& finder, const std::vector<Callback>& callbacks) {
  refuse_in_callback("find_lr");
  finder.check();
  groups_.check_current();
  if (resumed_ && lr_curve_ < lr_curves_.size()) return lr_curves_[lr_curve_++];
  const RandomState random;
  const TrainingFlags flags{*groups_.module()};
  (void)groups_.freeze(groups_.frozen(), groups_.norm_rule());  // another Learner may have frozen parts of the model
  const std::shared_ptr<void> tried = sanity_check_only();
  std::unique_ptr<detail::GradScaler> scale = std::move(grad_scaler_);
  if (scale) grad_scaler_ = std::make_unique<detail::GradScaler>(scale->copy());
  const auto sweeping =
      c10::make_scope_exit([&] { grad_scaler_ = std::move(scale), finding_lr_ = false, graph_.reset(); });
  finding_lr_ = true;
  check_graphs(callbacks);
  check_data();
  if (finder.on_validation && !data_.valid)
    throw ConfigError("LRFinder", "on_validation is asked for, but there is no validation data",
                      "give LearnerOptions::valid, or watch the training loss");
  stop_.reset();
  const std::int64_t batches = batches_per_step(callbacks);
  if (finder.steps * batches >= data_.train.batches())  // it comes to the last batch
    check_last_batch({.peak_lr = {},
                      .frozen = {{.step = 0, .frozen = groups_.frozen()}},
                      .norm = groups_.norm_rule(),
                      .epochs = 1,
                      .steps_per_epoch = finder.steps,
                      .batches_per_step = batches},
                     "LRFinder");
  std::int64_t epoch = epochs_begun_;
  const auto begin = [&] {
    const std::shared_ptr<void> common = common_random();
    return data_.train.stream(epoch++, 0, world_.shard());
  };
  std::vector<Batch> drawn_in_step;
  const auto recorded = [&](BatchStream pass) -> BatchStream {
    if (!finder.paired) return pass;
    return [pass = std::move(pass), &drawn_in_step] {
      std::optional<Batch> batch = pass();
      if (batch) drawn_in_step.push_back(*batch);
      return batch;
    };
  };
  std::vector<GeneratorState> generators;
  BatchStream next;
  const auto on_next_batch = [&] {
    drawn_in_step.clear();
    std::optional<Drawn> drawn = draw(next);
    if (!drawn && !stop_) drawn = draw(next = recorded(begin()));
    if (finder.paired) generators = generator_states();
    return step(nullptr, std::move(drawn), next, batches, callbacks);
  };
  const auto one_step = [&]() -> double {
    groups_.train();
    std::optional<StepLoss> done = on_next_batch();
    while (done && done->overflowed && grad_scaler_->may_fall() && std::isfinite(done->loss.item<double>()))
      done = on_next_batch();
    if (stop_) return std::numeric_limits<double>::quiet_NaN();  // a callback that ends stages ends the sweep
    if (!done)
      throw DataError("training data", "a second pass over it gives no batches",
                      "give a source that can be run through again");
    return done->overflowed || done->skipped ? std::numeric_limits<double>::quiet_NaN() : done->loss.item<double>();
  };
  LRProbes probes;
  if (finder.paired)
    probes.same_batch = [&] {
      const RandomState after_step;
      set_generator_states(generators);
      groups_.train();
      return loss_again(drawn_in_step, callbacks);
    };
  if (finder.on_validation) {
    probes.held_out = [&] { return validate(data_.valid).loss; };
  } else if (data_.valid && finder.held_out_samples > 0) {
    probes.held_out = [&, sample = std::make_shared<const std::vector<Batch>>(
                              spread_sample(data_.valid, finder.held_out_samples, world_.shard()))] {
      groups_.eval();
      return detail::evaluate(task_, {}, stream_of(sample), device(), world_).loss;
    };
  }
  next = recorded(begin());  // only now: training and validation may be one loader, which has one pass at a time
  LRCurve curve = finder.run(groups_, *optimizer_, one_step, probes);
  stop_.reset();
  lr_curves_.push_back(curve), ++lr_curve_;
  tell(callbacks, LRFindEnd{.learner = *this, .curve = curve});
  return curve;
}

}  // namespace thaw
