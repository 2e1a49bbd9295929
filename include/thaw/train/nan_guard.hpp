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

  void on_stage_planned(const StagePlanned&) const;
  void on_stage_begin(const StageBegin& event);
  void on_batch_ready(const BatchReady& event);
  void on_loss_ready(const LossReady& event) {
    if (!std::isfinite(event.loss.item<double>())) leave_out(event.learner);
  }
  void on_gradients_ready(const GradientsReady& event);
  void on_step_end(const StepEnd& event);
  void on_run_state(const RunStateVisit& event);

  std::int64_t in_a_row_ = 0, since_copy_ = 0;                   // run state
  RunState copy_ = {};                                           // of the last good step that was copied
  std::vector<std::pair<at::Tensor, at::Tensor>> buffers_ = {};  // as the step began
  bool step_begun_ = false, bad_ = false;

 private:
  void leave_out(Learner& learner);
  static void visit(const StateVisitor& state, Learner& learner);
  void copy(Learner& learner);
  void put_back(Learner& learner);
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

THAW_INLINE void NaNGuard::on_stage_begin(const StageBegin& event) {
  in_a_row_ = since_copy_ = 0;
  step_begun_ = bad_ = false;  // a finder's sweep may have ended within a step
  if (then == OnNaN::roll_back) copy(event.learner);
}

THAW_INLINE void NaNGuard::on_batch_ready(const BatchReady& event) {
  if (std::exchange(step_begun_, true)) return;  // of a step with several batches, the first
  bad_ = false;
  buffers_.clear();
  for (const LayerGroup& group : event.learner.groups())
    for (const auto& [name, buffer] : group.buffers)
      if (buffer.defined()) buffers_.emplace_back(buffer, buffer.clone());
}

THAW_INLINE void NaNGuard::on_gradients_ready(const GradientsReady& event) {
  const std::vector<at::Tensor> gradients = event.learner.groups().gradients();
  if (gradients.empty()) return;
  const c10::NoGradGuard no_grad;
  if (!std::isfinite(at::stack(at::_foreach_norm(gradients)).sum().item<double>())) leave_out(event.learner);
}

THAW_INLINE void NaNGuard::on_step_end(const StepEnd& event) {
  step_begun_ = false;
  bad_ = event.learner.world().any(bad_);
  if (!bad_) {
    in_a_row_ = 0;
    if (then == OnNaN::roll_back && ++since_copy_ >= every) copy(event.learner);
    return;
  }
  const c10::NoGradGuard no_grad;
  for (auto& [buffer, value] : buffers_) buffer.copy_(value);
  if (then == OnNaN::roll_back) put_back(event.learner);
  if (++in_a_row_ >= patience)
    event.learner.stop("losses or gradients were not finite in " + std::to_string(in_a_row_) +
                       (in_a_row_ == 1 ? " step" : " steps in a row"));
}

THAW_INLINE void NaNGuard::on_run_state(const RunStateVisit& event) {
  event.state("in_a_row", in_a_row_);
  event.state("since_copy", since_copy_);
  std::vector<std::string> names;
  for (const auto& [name, tensor] : copy_) names.push_back(name);
  event.state("copied", names);
  if (event.state.reading()) copy_.clear();
  for (const std::string& name : names) event.state.in("copy")(name, copy_[name]);
}

THAW_INLINE void NaNGuard::leave_out(Learner& learner) {
  bad_ = true;
  learner.skip_step();
}

THAW_INLINE void NaNGuard::visit(const StateVisitor& state, Learner& learner) {
  const StateVisitor model = state.in("model");
  learner.groups().each_tensor([&](const std::string& name, const at::Tensor& tensor) { model.into(name, tensor); });
  detail::visit_optimizer(state.in("optimizer"), learner.optimizer(), learner.groups());
}

THAW_INLINE void NaNGuard::copy(Learner& learner) {
  since_copy_ = 0;
  copy_.clear();
  visit({copy_, /*reading=*/false}, learner);
  for (auto& [name, tensor] : copy_) tensor = tensor.clone();
}

THAW_INLINE void NaNGuard::put_back(Learner& learner) {
  since_copy_ = 0;
  visit({copy_, /*reading=*/true}, learner);
}

}  // namespace thaw

#endif
