// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/train/history.hpp>
#include <thaw/train/learner.hpp>

namespace thaw {

/// What a stage's first steps did.
struct StageCheck {
  std::string name = {};
  std::vector<double> losses = {};       ///< of each step; NaN for one that was left out
  std::optional<Evaluation> valid = {};  ///< over two batches; none where there is no validation data
  double seconds = 0;
  std::int64_t peak_memory = 0;  ///< bytes that tensors took on the device at most; 0 where not known (CPU)
  std::string stop = {};         ///< why a callback ended it; empty where none did
};

namespace detail {

std::vector<StageCheck> quick_check(Learner& learner, const std::vector<Stage>& plan, std::vector<Callback> callbacks);

}  // namespace detail

/// Runs two steps of each stage, and two more from each step on at which it freezes or thaws something; then validates
/// on two batches. So what fails late in a plan fails now. Throws what `fit` would. Lightning's `fast_dev_run`.
///
///     fmt::print("{}", thaw::to_text(thaw::quick_check(learner, plan)));
///
/// Nothing is left changed, bit for bit: weights, optimizer, random numbers, history, the place in the data. Steps are
/// at the rates, and stages in the order, of the plan; the whole model runs, also where a stage caches its frozen part.
/// Callbacks that change a step take part, as in find_lr; others are told nothing, so that no file is written. In a
/// program that was resumed it does nothing until the run goes on, and gives no results.
template <class... Callbacks>
std::vector<StageCheck> quick_check(Learner& learner, const std::vector<Stage>& plan, Callbacks... callbacks) {
  return detail::quick_check(learner, plan, {Callback(std::move(callbacks))...});
}

/// A line for each stage: "head: losses 2.31, 2.28; valid loss 2.29, accuracy 0.12; 0.4 s, 812 MB".
[[nodiscard]] std::string to_text(const std::vector<StageCheck>& checks);

}  // namespace thaw

#if THAW_DEFINES(train)

#include <algorithm>
#include <chrono>
#include <cstddef>

#include <fmt/format.h>

#include <thaw/core/device_memory.hpp>
#include <thaw/core/seconds_since.hpp>
#include <thaw/train/detail/evaluate.hpp>
#include <thaw/train/detail/first_steps.hpp>

namespace thaw::detail {

THAW_INLINE std::vector<StageCheck> quick_check(Learner& learner, const std::vector<Stage>& plan,
                                                std::vector<Callback> callbacks) {
  LearnerParts& parts = LearnerParts::of(learner);
  const Setup& setup = parts.setup;
  parts.refuse_in_callback("quick_check");
  check_grad_mode("quick_check");
  if (parts.log.replays()) return {};
  callbacks = setup.all_callbacks(std::move(callbacks));
  const Trial trial(parts);
  const std::vector<PlannedStage> planned = prepare(parts, plan, callbacks);
  std::vector<StageCheck> checks;
  for (std::size_t i = 0; i < plan.size(); ++i) {
    const auto start = std::chrono::steady_clock::now();
    const PeakMemory memory(setup.device());
    StageCheck& check = checks.emplace_back(StageCheck{.name = plan[i].name});
    check.losses = first_steps(parts, plan[i], planned[i], callbacks, parts.data.train());
    check.stop = parts.control.reason();
    if (const DataSource& valid = parts.data.valid()) {
      setup.share_buffers();
      setup.groups.eval();
      BatchStream two = of_length(valid.stream(0, 0, setup.world.shard()), 0,
                                  std::min<std::int64_t>(2, valid.batches()), /*ends_there=*/true);
      check.valid = evaluate(setup.in_words(setup.task, "validation data"), setup.metrics, std::move(two),
                             setup.device(), setup.world);
    }
    check.seconds = seconds_since(start);
    check.peak_memory = memory.bytes();
  }
  return checks;
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE std::string to_text(const std::vector<StageCheck>& checks) {
  std::string text;
  for (const StageCheck& check : checks) {
    text += check.name + ": losses ";
    for (std::size_t i = 0; i < check.losses.size(); ++i)
      text += fmt::format("{}{:.4g}", i > 0 ? ", " : "", check.losses[i]);
    if (const std::optional<Evaluation>& valid = check.valid) {
      text += fmt::format("; valid loss {:.4g}", valid->loss);
      for (const MetricValue& metric : valid->metrics)
        text += fmt::format(", {} {:.4g}", metric.name, metric.value);
    }
    text += fmt::format("; {:.1f} s", check.seconds);
    if (check.peak_memory > 0) text += fmt::format(", {:.0f} MB", static_cast<double>(check.peak_memory) / 1e6);
    text += check.stop.empty() ? "\n" : "; stopped: " + check.stop + "\n";
  }
  return text;
}

}  // namespace thaw

#endif
