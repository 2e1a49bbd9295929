// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/optim/lbfgs.h>
#include <torch/optim/optimizer.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/distributed/processes.hpp>
#include <thaw/groups/optimizer_groups.hpp>

namespace thaw::distributed {

/// An optimizer of which each process remembers the state of its own share of the parameters: with n processes about an
/// n-th of the memory. Each parameter belongs to one process, which updates it and sends it to the others.
///
///     thaw::distributed::ShardedOptimizer sharded(processes, optimizer);
///     ...
///     sharded.step();   // in place of optimizer.step(), once gradients are the same in all processes
///
/// The weights are those that each process would come to by itself, bit for bit. Afterwards gradients are only left in
/// the process that a parameter belongs to. For optimizers that treat each parameter by itself: LibTorch's but LBFGS,
/// and thaw's. Source: ZeRO, stage 1 (Rajbhandari et al. 2020, arXiv:1910.02054).
class ShardedOptimizer {
 public:
  /// The optimizer must outlive it. Throws ConfigError for LBFGS.
  ShardedOptimizer(Processes processes, torch::optim::Optimizer& optimizer)
      : processes_(std::move(processes)),
        optimizer_(&optimizer),
        load_(static_cast<std::size_t>(processes_.size()), 0) {
    if (dynamic_cast<const torch::optim::LBFGS*>(&optimizer) != nullptr)
      throw ConfigError("ShardedOptimizer", "LBFGS steps on all parameters at once",
                        "take AdamW, Adam, SGD, RMSprop or Adagrad, or do not share its state out");
    each_parameter([&](const at::Tensor& parameter) { (void)owner_of(parameter); });
  }

  /// A step on the parameters that have a gradient.
  void step() {
    std::vector<std::vector<at::Tensor>> moved(load_.size());
    each_parameter([&](at::Tensor& parameter) {
      if (!parameter.grad().defined()) return;
      const std::size_t owner = owner_of(parameter);
      moved[owner].push_back(parameter);
      if (static_cast<std::int64_t>(owner) != processes_.rank()) parameter.mutable_grad() = at::Tensor();
    });
    optimizer_->step();
    for (std::size_t owner = 0; owner < moved.size(); ++owner)
      processes_.broadcast(moved[owner], static_cast<std::int64_t>(owner));
  }

  /// Forgets the state of other processes' parameters: what was read from a file, say.
  void keep_own_state() {
    each_parameter([&](const at::Tensor& parameter) {
      if (static_cast<std::int64_t>(owner_of(parameter)) != processes_.rank())
        forget_state(*optimizer_, {&parameter, 1});
    });
  }

 private:
  template <class Call>
  void each_parameter(const Call& call) {
    for (auto& group : optimizer_->param_groups())
      for (at::Tensor& parameter : group.params()) call(parameter);
  }

  /// In the order of the layers, to the process that has fewest numbers so far: so that what is thawed together is
  /// shared out evenly, too. The same in each process.
  std::size_t owner_of(const at::Tensor& parameter) {
    const auto [at, fresh] = owners_.try_emplace(parameter.unsafeGetTensorImpl());
    if (fresh) {
      const auto least = std::ranges::min_element(load_);
      *least += parameter.numel();
      at->second = static_cast<std::size_t>(least - load_.begin());
    }
    return at->second;
  }

  Processes processes_;
  torch::optim::Optimizer* optimizer_;
  std::vector<std::int64_t> load_;  // numbers of each process
  std::unordered_map<const at::TensorImpl*, std::size_t> owners_;
};

}  // namespace thaw::distributed
