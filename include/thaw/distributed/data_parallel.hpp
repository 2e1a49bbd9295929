// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/distributed/gradient_mean.hpp>
#include <thaw/distributed/processes.hpp>
#include <thaw/distributed/sharded_optimizer.hpp>
#include <thaw/distributed/sync_batch_norm.hpp>
#include <thaw/train/world.hpp>

namespace thaw::distributed {

struct DataParallelOptions {
  /// Norm layers that train see the samples of all processes: see SyncBatchNorm.
  bool sync_batch_norm = false;
  /// Parameters that require gradients need not take part in every loss; costs a walk over the graph and some traffic
  /// in each step. Without it such a step is an error.
  bool find_unused_parameters = false;
  /// Each process remembers the optimizer's state of its own share of the parameters: see ShardedOptimizer.
  bool shard_optimizer = false;
};

namespace detail {

class DataParallel final : public World::Backend {
 public:
  DataParallel(Processes processes, const DataParallelOptions& options)
      : processes_(std::move(processes)), options_(options) {}

  [[nodiscard]] std::int64_t rank() const override { return processes_.rank(); }
  [[nodiscard]] std::int64_t size() const override { return processes_.size(); }
  void sum(at::Tensor& values) override { processes_.sum(values); }
  [[nodiscard]] at::Tensor gather(const at::Tensor& values) override { return processes_.gather(values); }
  void broadcast(const std::vector<at::Tensor>& tensors, std::int64_t root) override {
    processes_.broadcast(tensors, root);
  }
  void begin(const LayerGroups& groups, torch::optim::Optimizer& optimizer) override {
    if (mean_)
      throw ConfigError("LearnerOptions::world", "another Learner has it", "make a data_parallel() for each Learner");
    groups.each_tensor([&](const std::string&, const at::Tensor& tensor) { processes_.check_reach(tensor.device()); });
    mean_.emplace(processes_, groups, options_.find_unused_parameters);
    optimizer_ = &optimizer;
    if (options_.shard_optimizer) sharded_.emplace(processes_, optimizer);
  }
  void backward(const at::Tensor& loss) override { mean_.value().backward(loss); }
  [[nodiscard]] std::unique_ptr<World::ForwardScope> in_forward(bool counts) override {
    return options_.sync_batch_norm ? std::make_unique<SyncBatchNorm>(processes_, counts) : nullptr;
  }
  [[nodiscard]] bool norm_sees_all() const override { return options_.sync_batch_norm; }
  void step() override {
    if (sharded_)
      sharded_->step();
    else
      optimizer_->step();
  }
  [[nodiscard]] bool shards_optimizer() const override { return sharded_.has_value(); }
  void keep_own_state() override {
    if (sharded_) sharded_->keep_own_state();
  }

 private:
  Processes processes_;
  DataParallelOptions options_;
  torch::optim::Optimizer* optimizer_ = nullptr;
  std::optional<GradientMean> mean_;
  std::optional<ShardedOptimizer> sharded_;
};

}  // namespace detail

/// What makes a Learner train in several processes, each on its shard of every batch:
///
///     thaw::Learner learner{model, groups, loss,
///                           {.train = train, .valid = valid,
///                            .world = thaw::distributed::data_parallel(thaw::distributed::init())}};
///
/// One Learner, one World. Gradients are the mean over processes while backward still runs (GradientMean). The same
/// program started alone trains alone.
[[nodiscard]] inline World data_parallel(Processes processes, const DataParallelOptions& options = {}) {
  return World(std::make_shared<detail::DataParallel>(std::move(processes), options));
}

}  // namespace thaw::distributed
