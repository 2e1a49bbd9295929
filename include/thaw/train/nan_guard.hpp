// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/train/detail/optimizer_state.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/run_state.hpp>

namespace thaw {

/// What to do when a loss or a gradient is not finite.
enum class OnNaN {
  skip,       ///< leave the step out; statistics of norm layers are as before it
  roll_back,  ///< also go back to the weights and the optimizer of a good step, at most `every` steps ago
};

/// Keeps a run going when a batch gives a loss or gradients that are not finite: a damaged sample, a rate at the edge.
/// After `patience` such steps in a row it ends the stage: TerminateOnNaN does so at the first. Reads a number from the
/// device in each step, so it waits for it.
///
///     learner.fit(stage, thaw::NaNGuard{});
///     learner.fit(stage, thaw::NaNGuard{.then = thaw::OnNaN::roll_back, .every = 100});
struct NaNGuard {
  OnNaN then = OnNaN::skip;
  std::int64_t patience = 10;
  std::int64_t every = 100;  ///< steps between copies of weights and optimizer, for roll_back

  struct State {
    std::int64_t in_a_row = 0, since_copy = 0;
    RunState copy = {};                                           // of the last good step that was copied
    std::vector<std::pair<at::Tensor, at::Tensor>> buffers = {};  // as the step began
    bool step_begun = false, bad = false;
  };

  void on_stage_planned(const StagePlanned&) const;
  void on_stage_begin(const StageBegin& event, State& now) const;
  static void on_batch_ready(const BatchReady& event, State& now);
  static void on_loss_ready(const LossReady& event, State& now) {
    if (!std::isfinite(event.loss.item<double>())) skip(event.learner, now);
  }
  static void on_gradients_ready(const GradientsReady& event, State& now);
  void on_step_end(const StepEnd& event, State& now) const;
  static void on_run_state(const RunStateVisit& event, State& now);

 private:
  static void skip(Learner& learner, State& now);
  static void visit(const StateVisitor& state, Learner& learner);
  static void copy(Learner& learner, State& now);
};

}  // namespace thaw

#if THAW_DEFINES(train)

namespace thaw {

THAW_INLINE void NaNGuard::on_stage_planned(const StagePlanned&) const {
  if (patience < 1 || every < 1)
    throw ConfigError("NaNGuard",
                      "patience is " + std::to_string(patience) + ", every " + std::to_string(every) + " steps",
                      "give at least 1 of each");
}

THAW_INLINE void NaNGuard::on_stage_begin(const StageBegin& event, State& now) const {
  if (then == OnNaN::roll_back) copy(event.learner, now);
}

THAW_INLINE void NaNGuard::on_batch_ready(const BatchReady& event, State& now) {
  if (std::exchange(now.step_begun, true)) return;  // of a step with several batches, the first
  now.bad = false;
  now.buffers.clear();
  for (const LayerGroup& group : event.learner.groups())
    for (const auto& [name, buffer] : group.buffers)
      if (buffer.defined()) now.buffers.emplace_back(buffer, buffer.clone());
}

THAW_INLINE void NaNGuard::on_gradients_ready(const GradientsReady& event, State& now) {
  const std::vector<at::Tensor> gradients = event.learner.groups().gradients();
  if (gradients.empty()) return;
  const c10::NoGradGuard no_grad;
  if (!std::isfinite(at::stack(at::_foreach_norm(gradients)).sum().item<double>())) skip(event.learner, now);
}

THAW_INLINE void NaNGuard::on_step_end(const StepEnd& event, State& now) const {
  now.step_begun = false;
  now.bad = event.learner.world().any(now.bad);
  if (!now.bad) {
    now.in_a_row = 0;
    if (then == OnNaN::roll_back && ++now.since_copy >= every) copy(event.learner, now);
    return;
  }
  const c10::NoGradGuard no_grad;
  for (auto& [buffer, value] : now.buffers) buffer.copy_(value);
  if (then == OnNaN::roll_back) {
    now.since_copy = 0;
    visit({now.copy, /*reading=*/true}, event.learner);
  }
  if (++now.in_a_row >= patience)
    event.learner.stop("losses or gradients were not finite in " + std::to_string(now.in_a_row) +
                       (now.in_a_row == 1 ? " step" : " steps in a row"));
}

THAW_INLINE void NaNGuard::on_run_state(const RunStateVisit& event, State& now) {
  event.state("in_a_row", now.in_a_row);
  event.state("since_copy", now.since_copy);
  std::vector<std::string> names;
  for (const auto& [name, tensor] : now.copy) names.push_back(name);
  event.state("copied", names);
  if (event.state.reading()) now.copy.clear();
  for (const std::string& name : names) event.state.in("copy")(name, now.copy[name]);
}

THAW_INLINE void NaNGuard::skip(Learner& learner, State& now) {
  now.bad = true;
  learner.skip_step();
}

THAW_INLINE void NaNGuard::visit(const StateVisitor& state, Learner& learner) {
  const StateVisitor model = state.in("model");
  learner.groups().each_tensor([&](const std::string& name, const at::Tensor& tensor) { model.into(name, tensor); });
  detail::visit_optimizer(state.in("optimizer"), learner.optimizer(), learner.groups());
}

THAW_INLINE void NaNGuard::copy(Learner& learner, State& now) {
  now.since_copy = 0;
  now.copy.clear();
  visit({now.copy, /*reading=*/false}, learner);
  for (auto& [name, tensor] : now.copy) tensor = tensor.clone();
}

}  // namespace thaw

#endif
