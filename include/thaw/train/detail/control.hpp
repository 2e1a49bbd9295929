// SPDX-License-Identifier: BSD-3-Clause
#pragma once

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

  /// The first reason counts.
  void stop(std::string reason) {
    if (!stop_) stop_ = std::move(reason);
  }
  void skip_step() { skip_ = true; }
  void scale_lr(double factor) { lr_scale_ *= factor; }

  void begin_stage() { stop_.reset(), lr_scale_ = 1; }
  void begin_step() { skip_ = false; }
  void forget_stop() { stop_.reset(); }

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
  std::optional<std::string> stop_ = {};  // why the running stage is to end
  bool skip_ = false;                     // the optimizer is to leave out the running step
  double lr_scale_ = 1;                   // what callbacks made of the running stage's rates
};

}  // namespace thaw::detail

#if THAW_DEFINES(train)

namespace thaw::detail {

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
