// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <c10/util/Exception.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/find/suggest.hpp>
#include <thaw/report/detail/json.hpp>
#include <thaw/train/learner.hpp>

namespace thaw {

/// A callback that writes a JSON object per line, flushed, for programs that watch a run.
///
///     learner.fit(stage, thaw::JsonLines{});
///     learner.fit(stage, thaw::JsonLines{.out = file});  // any std::FILE*, which must outlive the callback
///
/// Each has "event", "run" (Learner::run_id) and "time" (seconds since 1970, UTC); then, by event:
///
///     stage_begin  stage, epochs, steps_per_epoch, groups: [{name, parameters, trained, lr, first_step}, ...]
///     epoch        stage, epoch, epochs, steps_done, train_loss, valid_loss, metrics: {name: value, ...},
///                  lr: {group: rate, ...}, seconds, peak_memory
///     stage_end    stage, steps, stop
///     find_lr      planned, stopped_early, suggestions: {name: rate, ...}, lr: [...], loss: [...], smoothed: [...]
///     resumed      stage, step
///
/// The fields mean what they do in GroupPlan, EpochRecord, StageRecord and LRCurve; losses and metrics are of that
/// epoch, `lr` of its last step. Null is what there is not: validation, a reason to stop, a first step of a group that
/// is frozen all along; and a number that is not finite. Fields may be added, but none will change its meaning. A
/// resumed run tells again what it does again. What cannot be written is a warning, once, and the run goes on.
struct JsonLines {
  static constexpr bool first_process_only = true;

  std::FILE* out = stdout;

  void on_stage_begin(const StageBegin& event);

  void on_epoch_end(const EpochEnd& event);

  void on_stage_end(const StageEnd& event);

  void on_lr_find_end(const LRFindEnd& event);

  /// The stage began in another process.
  void on_run_state(const RunStateVisit& event);

  bool warned_ = false;

 private:
  [[nodiscard]] static detail::JsonObject line(const char* event, const Learner& learner);

  void write(const detail::JsonObject& object);
};

}  // namespace thaw

#if THAW_DEFINES(report)

namespace thaw {

THAW_INLINE void JsonLines::on_stage_begin(const StageBegin& event) {
  std::vector<detail::JsonObject> groups;
  for (const GroupPlan& group : event.groups) {
    const bool trains = group.first_step >= 0;
    groups.push_back(detail::JsonObject()
                         .add("name", group.name)
                         .add("parameters", group.parameters)
                         .add("trained", group.trained)
                         .add("lr", group.lr)
                         .add("first_step", trains ? std::optional(group.first_step) : std::nullopt));
  }
  write(line("stage_begin", event.learner)
            .add("stage", event.stage)
            .add("epochs", event.epochs)
            .add("steps_per_epoch", event.steps_per_epoch)
            .add("groups", groups));
}

THAW_INLINE void JsonLines::on_epoch_end(const EpochEnd& event) {
  const EpochRecord& epoch = event.record;
  detail::JsonObject metrics, rates;
  if (epoch.valid)
    for (const MetricValue& metric : epoch.valid->metrics) metrics.add(metric.name, metric.value);
  const std::vector<std::string>& groups = event.learner.history().groups;
  for (std::size_t i = 0; i < epoch.lr.size(); ++i) rates.add(groups.at(i), epoch.lr[i]);
  write(line("epoch", event.learner)
            .add("stage", epoch.stage)
            .add("epoch", epoch.epoch)
            .add("epochs", epoch.epochs)
            .add("steps_done", epoch.steps_done)
            .add("train_loss", epoch.train_loss)
            .add("valid_loss", epoch.valid ? std::optional(epoch.valid->loss) : std::nullopt)
            .add("metrics", metrics)
            .add("lr", rates)
            .add("seconds", epoch.seconds)
            .add("peak_memory", epoch.peak_memory > 0 ? std::optional(epoch.peak_memory) : std::nullopt));
}

THAW_INLINE void JsonLines::on_stage_end(const StageEnd& event) {
  write(line("stage_end", event.learner)
            .add("stage", event.record.name)
            .add("steps", event.record.steps)
            .add("stop", event.stop.empty() ? std::nullopt : std::optional(std::string(event.stop))));
}

THAW_INLINE void JsonLines::on_lr_find_end(const LRFindEnd& event) {
  detail::JsonObject suggested;
  for (const Suggestion& suggestion : suggestions(event.curve)) suggested.add(suggestion.name, suggestion.lr);
  write(line("find_lr", event.learner)
            .add("planned", event.curve.planned)
            .add("stopped_early", event.curve.stopped_early)
            .add("suggestions", suggested)
            .add("lr", event.curve.lr)
            .add("loss", event.curve.loss)
            .add("smoothed", event.curve.smoothed));
}

THAW_INLINE void JsonLines::on_run_state(const RunStateVisit& event) {
  const std::vector<StageRecord>& stages = event.learner.history().stages;
  if (!event.state.reading() || stages.empty()) return;
  write(line("resumed", event.learner).add("stage", stages.back().name).add("step", stages.back().steps));
}

THAW_INLINE detail::JsonObject JsonLines::line(const char* event, const Learner& learner) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return detail::JsonObject()
      .add("event", event)
      .add("run", learner.run_id())
      .add("time", static_cast<double>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count()) / 1000);
}

THAW_INLINE void JsonLines::write(const detail::JsonObject& object) {
  const std::string text = object.text() + "\n";
  const bool written = std::fwrite(text.data(), 1, text.size(), out) == text.size() && std::fflush(out) == 0;
  if (!written && !std::exchange(warned_, true)) {
    TORCH_WARN("thaw: JsonLines: a line could not be written");
  }
}

}  // namespace thaw

#endif
