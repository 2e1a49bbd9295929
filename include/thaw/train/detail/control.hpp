// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cmath>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/data/source.hpp>
#include <thaw/train/callback.hpp>
#include <thaw/train/detail/too_few_samples.hpp>
#include <thaw/train/run_state.hpp>
#include <thaw/train/world.hpp>

namespace thaw::detail {

template <class Event>
void tell(const std::vector<Callback>& callbacks, const Event& event) {
  for (const Callback& callback : callbacks) callback.on(event);
}

/// The same. Where one fails, other processes hear of it when they next agree on something, and end too.
template <class Event>
void announce(const World& world, const std::vector<Callback>& callbacks, const Event& event) {
  const std::exception_ptr failed = failure_of([&] { tell(callbacks, event); });
  if (!failed) return;
  if (!world.is_single()) (void)failure_of([&] { (void)world.all_reduce({}, failed); });  // it is thrown below
  std::rethrow_exception(failed);
}

/// A batch, and how many samples it has in all processes.
struct Drawn {
  Batch batch;
  std::int64_t samples;
};

/// What callbacks want of the stage and the step that run. Each process has its own callbacks; all end a stage, or
/// leave out a step, together.
class Control {
 public:
  explicit Control(const World& world) : world_(world) {}

  /// The first reason counts. Throws ConfigError where no stage and no LR finder runs: nothing would come of it.
  void stop(std::string reason);
  /// Likewise.
  void skip_step();
  /// Throws ConfigError for a factor that gives no rate.
  void scale_lr(double factor);

  void check_runs(const char* call) const;

  /// A stage, or an LR finder, begins or ends.
  void begin() { runs_ = true, stop_.reset(), lr_scale_ = 1; }
  void end() { runs_ = false, stop_.reset(); }
  /// A stage goes on that another process began.
  void go_on() { runs_ = true; }
  void begin_step() { skip_ = false; }

  // As this process knows it; the same in all once they have agreed.
  [[nodiscard]] bool stopped() const { return stop_.has_value(); }
  [[nodiscard]] std::string reason() const { return stop_.value_or(""); }
  [[nodiscard]] bool skips() const { return skip_; }
  [[nodiscard]] double lr_scale() const { return lr_scale_; }

  /// Whether the stage is to end, in all processes.
  bool agree_on_stop();
  /// Whether it is, or the step is left out. Where something `failed` in one process, all throw.
  void agree_on_step(const std::exception_ptr& failed);
  /// The next batch, in all processes; none where the pass or the stage ends.
  std::optional<Drawn> draw(BatchStream& next);

  void visit(const StateVisitor& state) {
    state("rate scale", lr_scale_);
    state("stop", stop_);
  }

 private:
  void take_reason(double processes_that_stop);

  const World& world_;
  bool runs_ = false;  // a stage, or an LR finder
  std::optional<std::string> stop_ = {};  // why the running stage is to end
  bool skip_ = false;                     // the optimizer is to leave out the running step
  double lr_scale_ = 1;                   // what callbacks made of the running stage's rates
};

}  // namespace thaw::detail

#if THAW_DEFINES(train)

namespace thaw::detail {

THAW_INLINE void Control::check_runs(const char* call) const {
  if (!runs_)
    throw ConfigError("Learner::" + std::string(call), "no stage runs that it could act on",
                      "call it in a callback, from on_stage_begin to on_stage_end; to refuse a plan, throw there");
}

THAW_INLINE void Control::stop(std::string reason) {
  check_runs("stop");
  if (!stop_) stop_ = reason.empty() ? "a callback ended it" : std::move(reason);
}

THAW_INLINE void Control::skip_step() {
  check_runs("skip_step");
  skip_ = true;
}

THAW_INLINE void Control::scale_lr(double factor) {
  if (!(std::isfinite(factor) && factor >= 0))
    throw ConfigError("Learner::scale_lr", "a factor of " + number(factor), "give a finite number, 0 or more");
  lr_scale_ *= factor;
}

THAW_INLINE void Control::take_reason(double processes_that_stop) {
  if (processes_that_stop == 0) return;
  for (const std::string& reason : world_.all_gather(stop_ ? "+" + *stop_ : "-"))
    if (reason[0] == '+') {
      stop_ = reason.substr(1);
      return;
    }
}

THAW_INLINE bool Control::agree_on_stop() {
  take_reason(world_.all_reduce({stop_ ? 1.0 : 0.0})[0]);
  return stopped();
}

THAW_INLINE void Control::agree_on_step(const std::exception_ptr& failed) {
  const std::vector<double> sums = world_.all_reduce({stop_ ? 1.0 : 0.0, skip_ ? 1.0 : 0.0}, failed);
  take_reason(sums[0]);
  skip_ = sums[1] > 0;
}

THAW_INLINE std::optional<Drawn> Control::draw(BatchStream& next) {
  std::optional<Batch> batch;
  const std::exception_ptr failed = failure_of([&] {
    if (!stop_) batch = next();
    if (batch && batch->size() == 0) throw no_samples("training data");
  });
  const auto samples = static_cast<double>(batch ? batch->counted() : 0);
  const std::vector<double> sums = world_.all_reduce({stop_ ? 1.0 : 0.0, batch ? 1.0 : 0.0, samples}, failed);
  take_reason(sums[0]);
  if (stop_ || sums[1] == 0) return std::nullopt;
  if (!batch || sums[1] < static_cast<double>(world_.size()))
    throw DataError("training data", "an epoch has more batches in some processes than in others",
                    "give the same data in every process: each takes its own shard of every batch");
  return Drawn{.batch = *std::move(batch), .samples = static_cast<std::int64_t>(sums[2])};
}

}  // namespace thaw::detail

#endif
