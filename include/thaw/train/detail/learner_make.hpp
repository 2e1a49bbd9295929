#pragma once

// How a Learner begins: members of it. Included by thaw/train/learner.hpp alone.

#include <torch/optim/lbfgs.h>

#include <thaw/train/learner.hpp>

namespace thaw {

template <class Model, class Loss>  // NOLINTNEXTLINE(performance-unnecessary-value-param): a handle
Learner::Learner(Model model, LayerGroups groups, Loss loss, LearnerOptions options)
    : world_(std::move(options.world)),
      groups_(std::move(groups)),
      mode_(std::make_shared<detail::ComputeMode>(detail::ComputeMode{options.layout, options.precision})),
      task_(detail::in_mode(detail::make_task(model, detail::loss_on(device(), std::move(loss))), mode_)),
      cuda_graphs_(options.cuda_graphs),
      data_{std::move(options.train), std::move(options.valid)},
      metrics_(std::move(options.metrics)),
      callbacks_(std::move(options.callbacks)),
      frozen_(std::move(options.frozen)) {
  if (detail::module_ptr(model) != groups_.module())
    throw ConfigError("Learner", "the layer groups were made from another model",
                      "make them from the model given here");
  if (frozen_ && !task_.parts)
    throw ConfigError("LearnerOptions::frozen", "the model cannot be run in parts",
                      "let it be a torch::nn::Sequential, or give it forward_parts(): see thaw::ForwardPart");
  detail::check_precision(options.precision, device());
  if (cuda_graphs_) (void)detail::DeviceGraph(device());  // throws where there are none
  if (cuda_graphs_ && !world_.alone())
    throw ConfigError("LearnerOptions::cuda_graphs", "several processes send gradients while backward runs",
                      "leave it off, or train in one process");
  if (options.precision == Precision::float16) loss_scale_ = std::make_unique<detail::LossScale>();
  optimizer_ = options.optimizer ? options.optimizer(groups_) : std::make_unique<AdamW>(groups_);
  if (optimizer_ == nullptr)
    throw ConfigError("LearnerOptions::optimizer", "the function returned no optimizer",
                      "return a std::unique_ptr that holds one, made from thaw::param_groups(groups)");
  if (dynamic_cast<const torch::optim::LBFGS*>(optimizer_.get()) != nullptr)
    throw ConfigError("LearnerOptions::optimizer", "LBFGS evaluates the loss several times in a step, by a closure",
                      "take AdamW or SGD, or write the loop by hand: see examples/own_loop.cpp");
  (void)OptimizerGroups(*optimizer_, groups_);  // throws when they do not fit each other
  history_.most_steps = options.most_steps;
  history_.groups = names_of(groups_);
  join();
}

}  // namespace thaw
