// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The LR finder with a Learner.

#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/data/spread_sample.hpp>
#include <thaw/train/detail/evaluate.hpp>
#include <thaw/train/detail/learner_parts.hpp>

#if THAW_DEFINES(train)

namespace thaw::detail {

/// The steps of a sweep: each takes the next batches of passes that follow each other.
class FinderSteps {
 public:
  FinderSteps(LearnerParts& parts, DataSource data, std::int64_t batches, const std::vector<Callback>& callbacks,
              bool repeats)
      : parts_(parts),
        data_(std::move(data)),
        kind_{.split = nullptr, .batches = batches, .callbacks = callbacks},
        epoch_(parts.data.epochs_begun()),
        repeats_(repeats),
        next_(pass()) {}
  FinderSteps(const FinderSteps&) = delete;
  FinderSteps& operator=(const FinderSteps&) = delete;
  ~FinderSteps() = default;

  /// Its loss; NaN where there was no step.
  double operator()() {
    parts_.setup.groups.train();
    std::optional<StepLoss> done = on_next_batch();
    while (done && done->overflowed && parts_.engine.scale_may_fall() && std::isfinite(done->loss.item<double>()))
      done = on_next_batch();
    constexpr double none = std::numeric_limits<double>::quiet_NaN();
    if (parts_.control.stopped()) return none;  // a callback that ends stages ends the sweep
    if (!done)
      throw DataError("training data", "a second pass over it gives no batches",
                      "give a source that can be run through again");
    return done->overflowed || done->skipped ? none : done->loss.item<double>();
  }

  /// The loss of the last step's batches, now, with the random numbers that it had.
  [[nodiscard]] double same_batch() const {
    const RandomState after_step;
    set_generator_states(generators_);
    parts_.setup.groups.train();
    return parts_.engine.loss_again(drawn_, kind_.callbacks);
  }

 private:
  BatchStream pass() {
    const CommonRandom common(parts_.setup.world);
    BatchStream pass = data_.stream(epoch_++, 0, parts_.setup.world.shard());
    if (!repeats_) return pass;
    return [pass = std::move(pass), this] {
      std::optional<Batch> batch = pass();
      if (batch) drawn_.push_back(*batch);
      return batch;
    };
  }
  std::optional<StepLoss> on_next_batch() {
    drawn_.clear();
    std::optional<Drawn> drawn = parts_.control.draw(next_);
    if (!drawn && !parts_.control.stopped()) drawn = parts_.control.draw(next_ = pass());
    if (repeats_) generators_ = generator_states();
    return parts_.engine.step(kind_, std::move(drawn), next_);
  }

  LearnerParts& parts_;
  DataSource data_;
  StepKind kind_;
  std::int64_t epoch_;
  bool repeats_;
  std::vector<Batch> drawn_ = {};  // of the last step
  std::vector<GeneratorState> generators_ = {};
  BatchStream next_;
};

THAW_INLINE LRCurve find_lr(LearnerParts& parts, const LRFinder& finder, const std::vector<Callback>& callbacks) {
  parts.refuse_in_callback("Learner::find_lr");
  Setup& setup = parts.setup;
  RunLog& log = parts.log;
  TrainingData& data = parts.data;
  finder.check();
  check_grad_mode("Learner::find_lr");
  setup.groups.check_current();
  if (log.resumed)
    if (const LRCurve* before = log.lr_curves.next()) return *before;
  const RandomState random;
  const TrainingFlags flags{*setup.groups.module()};
  // Another Learner may have frozen parts of the model.
  (void)setup.groups.freeze(setup.groups.frozen(), setup.groups.norm_rule());
  const TrainingData::OnlyTried tried{data};
  const StepEngine::ForFinder finding{parts.engine};
  parts.engine.check_graphs(callbacks);
  data.check();
  if (finder.on_validation && !data.valid())
    throw ConfigError("LRFinder", "on_validation is asked for, but there is no validation data",
                      "give LearnerOptions::valid, or watch the training loss");
  const std::int64_t batches = batches_per_step(parts, callbacks);
  if (finder.steps * batches >= data.train().batches())  // it comes to the last batch
    data.check_last_batch({.peak_lr = {},
                           .frozen = {{.step = 0, .frozen = setup.groups.frozen()}},
                           .norm = setup.groups.norm_rule(),
                           .epochs = 1,
                           .steps_per_epoch = finder.steps,
                           .batches_per_step = batches},
                          "LRFinder");
  LRProbes probes;
  if (finder.on_validation) {
    probes.held_out = [&] { return setup.validate(data.valid()).loss; };
  } else if (data.valid() && finder.held_out_samples > 0) {
    probes.held_out = [&, sample = std::make_shared<const std::vector<Batch>>(
                              spread_sample(data.valid(), finder.held_out_samples, setup.world.shard()))] {
      setup.groups.eval();
      return evaluate(setup.in_words(setup.task, "validation data"), {}, stream_of(sample), setup.device(), setup.world)
          .loss;
    };
  }
  // Only now: training and validation may be one loader, which has one pass at a time.
  FinderSteps step(parts, data.train(), batches, callbacks, finder.paired);
  if (finder.paired) probes.same_batch = [&] { return step.same_batch(); };
  LRCurve curve = finder.run(
      setup.groups, *setup.optimizer, [&] { return step(); }, probes);
  curve.before_step = log.history.steps_done;
  log.lr_curves.add(curve);
  tell(callbacks, LRFindEnd{.learner = parts.learner, .curve = curve});
  return curve;
}

}  // namespace thaw::detail

#endif
