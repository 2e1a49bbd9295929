// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/train/detail/norm_notes.hpp>
#include <thaw/train/learner.hpp>

namespace thaw {

namespace detail {

/// A running average of tensors that training moves, which can change places with them. All that trains at some time in
/// the stage is in it from the stage's begin, so that the average is over the same steps for all. What stays frozen is
/// not, and stays bit-identical.
class RunningAverage {
 public:
  /// Begins with the tensors as they are: those of groups that will train, and statistics of norm layers if asked for.
  void begin(const LayerGroups& groups, std::span<const GroupPlan> plan, bool statistics);

  /// average += weight (tensor - average)
  void update(double weight);

  /// Puts the averages where the weights are, and keeps the weights; the next call puts them back.
  void swap();
  [[nodiscard]] bool swapped() const { return swapped_; }

  void visit(const StateVisitor& state, const LayerGroups& groups);

 private:
  std::unordered_map<const at::TensorImpl*, std::pair<at::Tensor, at::Tensor>> averages_;
  bool swapped_ = false;
};

}  // namespace detail

/// An exponential moving average of the weights, after each optimizer step:
///
///     average = d average + (1 - d) weight,   d = min(decay, (1 + steps) / (10 + steps)) with warm_up, else decay
///
/// From each epoch's end until the next one's begin the model holds the averages, so validation, SaveBest and what
/// follows the stage see them. Running statistics of norm layers that train are averaged alike. Frozen weights are left
/// alone. Source: TensorFlow's ExponentialMovingAverage; timm's ModelEmaV3.
struct EMA {
  double decay = 0.999;
  bool warm_up = true;

  struct State {
    detail::RunningAverage average = {};
    std::int64_t steps = 0;
  };

  void on_stage_planned(const StagePlanned& event) const;
  static void on_stage_begin(const StageBegin& event, State& now);
  static void on_epoch_begin(const EpochBegin&, State& now) {
    if (now.average.swapped()) now.average.swap();
  }
  void on_step_end(const StepEnd&, State& now) const;
  static void on_epoch_trained(const EpochTrained&, State& now) { now.average.swap(); }
  static void on_run_state(const RunStateVisit& event, State& now);
};

/// Stochastic weight averaging (arXiv:1803.05407): the plain mean of the weights at the end of each of the stage's last
/// epochs, of those that thawed in one of them too. At the stage's end the model gets it, and norm layers that train
/// get their statistics anew by a pass over the training data. The stage's own validation is that of the last weights:
/// call `validate()` for the mean's. Beside an EMA it is what the stage ends with: the mean of the weights where SWA
/// was given before the EMA, of the EMA's averages where after it. Throws ConfigError as the stage begins for norm
/// layers from TorchScript that train: they cannot be measured anew.
struct SWA {
  double start = 0.75;  ///< the fraction of the stage's epochs that is left out

  struct State {
    detail::RunningAverage average = {};
    std::int64_t count = 0;  // epochs that it is over
  };

  void on_stage_planned(const StagePlanned& event) const;
  static void on_stage_begin(const StageBegin& event, State& now);
  void on_epoch_trained(const EpochTrained& event, State& now) const;
  static void on_stage_end(const StageEnd& event, State& now);
  static void on_run_state(const RunStateVisit& event, State& now);
};

}  // namespace thaw

#if THAW_DEFINES(train)

namespace thaw::detail {

THAW_INLINE void RunningAverage::begin(const LayerGroups& groups, std::span<const GroupPlan> plan, bool statistics) {
  const c10::NoGradGuard no_grad;
  averages_.clear();
  swapped_ = false;
  const auto add = [&](const at::Tensor& tensor) {
    averages_[tensor.unsafeGetTensorImpl()] = {tensor, tensor.detach().clone()};
  };
  for (std::size_t i = 0; i < groups.size(); ++i) {
    if (plan[i].first_step >= 0)
      for (const GroupParameter& parameter : groups[i].parameters)
        if (parameter.trainable) add(parameter.tensor);
    if (statistics)
      for (const auto& layer : groups[i].norms)
        for (const at::Tensor& buffer : layer->buffers(/*recurse=*/false))
          if (buffer.defined() && buffer.is_floating_point()) add(buffer);
  }
}

THAW_INLINE void RunningAverage::update(double weight) {
  const c10::NoGradGuard no_grad;
  for (auto& [key, pair] : averages_) pair.second.lerp_(pair.first.detach(), weight);
}

THAW_INLINE void RunningAverage::swap() {
  const c10::NoGradGuard no_grad;
  for (auto& [key, pair] : averages_) {
    const at::Tensor kept = pair.first.detach().clone();
    pair.first.detach().copy_(pair.second);
    pair.second = kept;
  }
  swapped_ = !swapped_;
}

THAW_INLINE void RunningAverage::visit(const StateVisitor& state, const LayerGroups& groups) {
  state("swapped", swapped_);
  if (state.reading()) averages_.clear();
  const c10::NoGradGuard no_grad;
  groups.each_tensor([&](const std::string& name, const at::Tensor& tensor) {
    const auto found = averages_.find(tensor.unsafeGetTensorImpl());
    if (state.reading()) {
      if (!state.fits(name, tensor)) return;  // it was not averaged, or had another shape
      const at::Tensor average = at::empty_like(tensor.detach());
      state.into(name, average);
      averages_[tensor.unsafeGetTensorImpl()] = {tensor, average};
    } else if (found != averages_.end()) {
      state.into(name, found->second.second);
    }
  });
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE void EMA::on_stage_planned(const StagePlanned& event) const {
  event.averages.emplace_back("EMA");
  if (!(decay >= 0 && decay < 1))
    throw ConfigError("EMA", "decay is " + detail::number(decay), "give a number in [0, 1), .999 say");
}

THAW_INLINE void EMA::on_stage_begin(const StageBegin& event, State& now) {
  now.average.begin(event.learner.groups(), event.groups, /*statistics=*/true);
}

THAW_INLINE void EMA::on_step_end(const StepEnd&, State& now) const {
  const auto n = static_cast<double>(++now.steps);
  const double d = warm_up ? std::min(decay, (1 + n) / (10 + n)) : decay;
  now.average.update(1 - d);
}

THAW_INLINE void EMA::on_run_state(const RunStateVisit& event, State& now) {
  now.average.visit(event.state.in("average"), event.learner.groups());
  event.state("steps", now.steps);
}

THAW_INLINE void SWA::on_stage_planned(const StagePlanned& event) const {
  event.sets_weights.emplace_back("SWA");
  if (!(start >= 0 && start < 1))
    throw ConfigError("SWA", "start is " + detail::number(start), "give a fraction in [0, 1)");
}

THAW_INLINE void SWA::on_stage_begin(const StageBegin& event, State& now) {
  detail::check_norms_can_be_measured(event.learner.groups(), "SWA");
  now.average.begin(event.learner.groups(), event.groups, /*statistics=*/false);
}

THAW_INLINE void SWA::on_epoch_trained(const EpochTrained& event, State& now) const {
  if (static_cast<double>(event.epoch) <= start * static_cast<double>(event.epochs)) return;
  now.average.update(1 / static_cast<double>(++now.count));
}

THAW_INLINE void SWA::on_stage_end(const StageEnd& event, State& now) {
  if (now.count == 0) return;
  now.average.swap();
  event.learner.update_norm_statistics();
}

THAW_INLINE void SWA::on_run_state(const RunStateVisit& event, State& now) {
  now.average.visit(event.state.in("average"), event.learner.groups());
  event.state("count", now.count);
}

}  // namespace thaw

#endif
