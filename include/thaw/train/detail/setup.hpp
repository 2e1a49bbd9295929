// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/ops/cat.h>
#include <c10/core/GradMode.h>
#include <torch/optim/lbfgs.h>
#include <torch/optim/optimizer.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/find/snapshot.hpp>
#include <thaw/groups/optimizer_groups.hpp>
#include <thaw/optim/adamw.hpp>
#include <thaw/train/callback.hpp>
#include <thaw/train/detail/check_source.hpp>
#include <thaw/train/detail/compute_mode.hpp>
#include <thaw/train/detail/device_graph.hpp>
#include <thaw/train/detail/evaluate.hpp>
#include <thaw/train/detail/run_in_parts.hpp>
#include <thaw/train/detail/task.hpp>
#include <thaw/train/learner_options.hpp>

namespace thaw::detail {

/// What a Learner trains and what with: the model in its groups, its loss, its optimizer, its processes.
struct Setup {
  World world;
  LayerGroups groups;
  std::shared_ptr<ComputeMode> mode;
  Task task;
  std::vector<Metric> metrics;
  std::vector<Callback> callbacks;  // of every fit
  MakeFrozenForward frozen_prefix;
  bool cuda_graphs;
  std::unique_ptr<torch::optim::Optimizer> optimizer;

  /// Takes all but the data out of `options`. Throws ConfigError for what does not go together.
  Setup(Task task_, const std::shared_ptr<torch::nn::Module>& module, LayerGroups&& groups_, LearnerOptions& options);

  [[nodiscard]] at::Device device() const { return groups[0].parameters[0].tensor.device(); }
  /// Its own, then those given. Those who write files or speak to people do so in the first process.
  [[nodiscard]] std::vector<Callback> all_callbacks(std::vector<Callback> given) const;

  /// The task, whose errors name `what` is given to the model and the loss, and what they can take.
  [[nodiscard]] Task in_words(const Task& of, const std::string& what) const;

  /// Running statistics are of each process's own samples; those of the first count.
  void share_buffers() const;
  /// Loss and metrics over `source`, in evaluation mode, which ends with it.
  [[nodiscard]] Evaluation validate(const DataSource& source) const;
  [[nodiscard]] Fields outputs(const Fields& input) const;
  [[nodiscard]] Fields outputs(const DataSource& source) const;
};

}  // namespace thaw::detail

#if THAW_DEFINES(train)

namespace thaw::detail {

THAW_INLINE Setup::Setup(Task task_, const std::shared_ptr<torch::nn::Module>& module, LayerGroups&& groups_,
                         LearnerOptions& options)
    : world(std::move(options.world)),
      groups(std::move(groups_)),
      mode(std::make_shared<ComputeMode>(ComputeMode{options.layout, options.precision})),
      task(run_in_parts(in_mode(std::move(task_), mode), options.run_parts)),
      metrics(std::move(options.metrics)),
      callbacks(std::move(options.callbacks)),
      frozen_prefix(std::move(options.frozen_prefix)),
      cuda_graphs(options.cuda_graphs) {
  if (module != groups.module())
    throw ConfigError("Learner", "the layer groups were made from another model",
                      "make them from the model given here");
  if (frozen_prefix) check_has_parts(task, "LearnerOptions::frozen_prefix");
  if (cuda_graphs && options.run_parts)
    throw ConfigError("LearnerOptions::cuda_graphs", "what run_parts does in a step cannot be captured",
                      "leave one of the two off");
  check_precision(options.precision, device());
  if (cuda_graphs) (void)DeviceGraph(device());  // throws where there are none
  if (cuda_graphs && !world.is_single())
    throw ConfigError("LearnerOptions::cuda_graphs", "several processes send gradients while backward runs",
                      "leave it off, or train in one process");
  optimizer = options.optimizer ? options.optimizer(groups) : std::make_unique<AdamW>(groups);
  if (optimizer == nullptr)
    throw ConfigError("LearnerOptions::optimizer", "the function returned no optimizer",
                      "return a std::unique_ptr that holds one, made from thaw::param_groups(groups)");
  if (dynamic_cast<const torch::optim::LBFGS*>(optimizer.get()) != nullptr)
    throw ConfigError("LearnerOptions::optimizer", "LBFGS evaluates the loss several times in a step, by a closure",
                      "take AdamW or SGD, or write the loop by hand: see examples/own_loop.cpp");
  (void)OptimizerGroups(*optimizer, groups);  // throws when they do not fit each other
}

THAW_INLINE std::vector<Callback> Setup::all_callbacks(std::vector<Callback> given) const {
  given.insert(given.begin(), callbacks.begin(), callbacks.end());
  if (!world.is_rank_zero())
    for (Callback& callback : given)
      if (callback.first_process_only()) callback = callback.silenced();
  return given;
}

THAW_INLINE Task Setup::in_words(const Task& of, const std::string& what) const {
  Task result = of;
  result.forward = [of, what, this](const Fields& input) {
    return tried_forward(of, input, groups, mode->layout, what);
  };
  result.loss = [of, what](const Fields& output, const Fields& target) { return tried_loss(of, output, target, what); };
  return result;
}

THAW_INLINE void Setup::share_buffers() const {
  if (world.is_single()) return;
  std::vector<at::Tensor> all;
  for (const LayerGroup& group : groups)
    for (const auto& [name, buffer] : group.buffers)
      if (buffer.defined()) all.push_back(buffer);
  world.broadcast(all);
}

THAW_INLINE Evaluation Setup::validate(const DataSource& source) const {
  if (!source || source.batches() == 0)
    throw DataError("Learner::validate", "there is no validation data",
                    "give LearnerOptions::valid at least one batch");
  share_buffers();
  const TrainingFlags as_it_was{*groups.module()};
  groups.eval();
  return evaluate(in_words(task, "validation data"), metrics, source.stream(0, 0, world.shard()), device(), world,
                  source.classes());
}

THAW_INLINE Fields Setup::outputs(const Fields& input) const {
  const c10::NoGradGuard no_grad;
  const TrainingFlags as_it_was{*groups.module()};
  groups.eval();
  const Fields here = input.map([&](const at::Tensor& tensor) { return tensor.to(device()); });
  return tried_forward(task, here, groups, mode->layout, "Learner::predict");
}

THAW_INLINE Fields Setup::outputs(const DataSource& source) const {
  std::vector<Fields> all;
  BatchStream next = source ? source.in_order() : [] { return std::optional<Batch>(); };
  while (const std::optional<Batch> batch = next())
    all.push_back(outputs(Batch{.input = batch->input}.to(device()).input));
  if (all.empty()) throw DataError("Learner::predict", "the source is empty", "give it at least one batch");
  return all[0].map([&, i = std::size_t{0}](const at::Tensor&) mutable {
    std::vector<at::Tensor> parts;
    parts.reserve(all.size());
    for (const Fields& output : all) parts.push_back(output[i]);
    ++i;
    return at::cat(parts);
  });
}

}  // namespace thaw::detail

#endif
