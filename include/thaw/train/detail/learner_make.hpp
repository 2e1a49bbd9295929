#pragma once

// How a Learner begins: members of it. Included by thaw/train/learner.hpp alone.

#include <torch/optim/lbfgs.h>

#include <thaw/train/detail/compute_mode.hpp>
#include <thaw/train/detail/device_graph.hpp>
#include <thaw/train/detail/grad_scaler.hpp>
#include <thaw/train/detail/pass_graph.hpp>
#include <thaw/train/detail/run_in_parts.hpp>
#include <thaw/train/learner.hpp>

namespace thaw {

THAW_INLINE Learner::Learner(detail::Task task, const std::shared_ptr<torch::nn::Module>& module, LayerGroups&& groups,
                             LearnerOptions options)
    : world_(std::move(options.world)),
      groups_(std::move(groups)),
      mode_(std::make_shared<detail::ComputeMode>(detail::ComputeMode{options.layout, options.precision})),
      task_(detail::run_in_parts(detail::in_mode(std::move(task), mode_), options.run_parts)),
      cuda_graphs_(options.cuda_graphs),
      data_{std::move(options.train), std::move(options.valid)},
      metrics_(std::move(options.metrics)),
      callbacks_(std::move(options.callbacks)),
      frozen_(std::move(options.frozen_prefix)) {
  if (module != groups_.module())
    throw ConfigError("Learner", "the layer groups were made from another model",
                      "make them from the model given here");
  if (frozen_) detail::check_has_parts(task_, "LearnerOptions::frozen_prefix");
  if (cuda_graphs_ && options.run_parts)
    throw ConfigError("LearnerOptions::cuda_graphs", "what run_parts does in a step cannot be captured",
                      "leave one of the two off");
  detail::check_precision(options.precision, device());
  if (cuda_graphs_) (void)detail::DeviceGraph(device());  // throws where there are none
  if (cuda_graphs_ && !world_.is_single())
    throw ConfigError("LearnerOptions::cuda_graphs", "several processes send gradients while backward runs",
                      "leave it off, or train in one process");
  if (options.precision == Precision::float16) grad_scaler_ = std::make_unique<detail::GradScaler>();
  optimizer_ = options.optimizer ? options.optimizer(groups_) : std::make_unique<AdamW>(groups_);
  if (optimizer_ == nullptr)
    throw ConfigError("LearnerOptions::optimizer", "the function returned no optimizer",
                      "return a std::unique_ptr that holds one, made from thaw::param_groups(groups)");
  if (dynamic_cast<const torch::optim::LBFGS*>(optimizer_.get()) != nullptr)
    throw ConfigError("LearnerOptions::optimizer", "LBFGS evaluates the loss several times in a step, by a closure",
                      "take AdamW or SGD, or write the loop by hand: see examples/own_loop.cpp");
  (void)OptimizerGroups(*optimizer_, groups_);  // throws when they do not fit each other
  history_.max_recorded_steps = options.max_recorded_steps;
  history_.groups = names_of(groups_);
  join();
}

THAW_INLINE Learner::~Learner() = default;

THAW_INLINE Layout Learner::layout() const {
  return mode_->layout;
}

}  // namespace thaw
