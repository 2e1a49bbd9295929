// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/optim/optimizer.h>

#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/data/shard.hpp>
#include <thaw/groups/layer_groups.hpp>
#include <thaw/train/run_state.hpp>

namespace thaw {

namespace detail {

/// What it throws; null where all is well.
template <class Call>
[[nodiscard]] std::exception_ptr failure_of(const Call& call) {
  try {
    call();
    return {};
  } catch (...) {
    return std::current_exception();
  }
}

}  // namespace detail

/// The processes that train one model together, each on its shard of every batch; by default one alone, which asks
/// nobody. What a Learner and its callbacks ask the others: every process makes the same calls, in the same order.
///
///     const bool late = learner.world().any(is_late());   // on_step_end: the same answer in every process
///
/// thaw::distributed::data_parallel makes one of the processes that a launcher started. What fails because another
/// process failed or ended is a ProcessError.
class World {
 public:
  /// Held while the model runs on a batch that it trains on.
  class ForwardScope {
   public:
    ForwardScope() = default;
    ForwardScope(const ForwardScope&) = delete;
    ForwardScope& operator=(const ForwardScope&) = delete;
    virtual ~ForwardScope() = default;
  };

  /// How the processes reach each other. See thaw/distributed/data_parallel.hpp.
  class Backend {
   public:
    Backend() = default;
    Backend(const Backend&) = delete;
    Backend& operator=(const Backend&) = delete;
    virtual ~Backend() = default;

    [[nodiscard]] virtual std::int64_t rank() const = 0;
    [[nodiscard]] virtual std::int64_t size() const = 0;
    /// Before anything else, by the Learner.
    virtual void begin(const LayerGroups& groups, torch::optim::Optimizer& optimizer) = 0;
    /// Over all processes, in place.
    virtual void sum(at::Tensor& values) = 0;
    /// One behind the other along dimension 0, in which they may differ.
    [[nodiscard]] virtual at::Tensor gather(const at::Tensor& values) = 0;
    /// All get the tensors of process `root`, in place.
    virtual void broadcast(const std::vector<at::Tensor>& tensors, std::int64_t root) = 0;
    /// The backward pass from `loss`, which makes the gradients their mean over all processes.
    virtual void backward(const at::Tensor& loss) = 0;
    /// See World::in_forward.
    [[nodiscard]] virtual std::unique_ptr<ForwardScope> in_forward(bool counts) = 0;
    /// Whether norm layers that train see the samples of all processes.
    [[nodiscard]] virtual bool norm_sees_all() const = 0;
    /// A step of the optimizer.
    virtual void step() = 0;
    /// Whether each process's optimizer remembers a part of what one alone would.
    [[nodiscard]] virtual bool shards_optimizer() const = 0;
    /// Forgets what other processes remember.
    virtual void keep_own_state() = 0;
  };

  World() = default;
  explicit World(std::shared_ptr<Backend> backend)
      : backend_(backend != nullptr && backend->size() > 1 ? std::move(backend) : nullptr) {}

  [[nodiscard]] bool is_single() const { return backend_ == nullptr; }
  [[nodiscard]] std::int64_t size() const { return is_single() ? 1 : backend_->size(); }
  /// Which of them this process is: 0 to size - 1.
  [[nodiscard]] std::int64_t rank() const { return is_single() ? 0 : backend_->rank(); }
  /// The one that writes files and speaks to people.
  [[nodiscard]] bool is_rank_zero() const { return rank() == 0; }
  /// What this process sees of every batch.
  [[nodiscard]] Shard shard() const { return {.index = rank(), .count = size()}; }
  /// Whether norm layers that train see the samples of all processes.
  [[nodiscard]] bool norm_sees_all() const { return is_single() || backend_->norm_sees_all(); }
  /// Held while the model runs on a batch that it trains on; one that does not `count` is a stand-in.
  [[nodiscard]] std::unique_ptr<ForwardScope> in_forward(bool counts) const {
    return is_single() ? nullptr : backend_->in_forward(counts);
  }

  // What a Learner does, in all processes.
  void begin(const LayerGroups& groups, torch::optim::Optimizer& optimizer) const {
    if (!is_single()) backend_->begin(groups, optimizer);
  }
  /// The backward pass from `loss`; with the `last` one of a step the gradients become their mean over all processes.
  void backward(const at::Tensor& loss, bool last) const {
    if (last && !is_single())
      backend_->backward(loss);
    else
      loss.backward();
  }
  void step(torch::optim::Optimizer& optimizer) const {
    if (is_single())
      optimizer.step();
    else
      backend_->step();
  }
  [[nodiscard]] bool shards_optimizer() const { return !is_single() && backend_->shards_optimizer(); }
  void keep_own_state() const {
    if (!is_single()) backend_->keep_own_state();
  }

  /// The sum over all processes, in place.
  void sum(at::Tensor& values) const {
    if (!is_single()) backend_->sum(values);
  }
  /// The mean over all processes.
  [[nodiscard]] at::Tensor mean(const at::Tensor& values) const;
  /// What every process has, one behind the other along dimension 0.
  [[nodiscard]] at::Tensor gather(const at::Tensor& values) const {
    return is_single() ? values : backend_->gather(values);
  }
  /// All processes get the tensors of process 0, in place.
  void broadcast(const std::vector<at::Tensor>& tensors) const {
    if (!is_single()) backend_->broadcast(tensors, 0);
  }

  /// The sums over all processes, of four numbers at most. Where something `failed` in one, that one throws it again,
  /// and the others throw a ProcessError that says so.
  [[nodiscard]] std::vector<double> all_reduce(std::vector<double> here, const std::exception_ptr& failed = {}) const;
  /// Whether it is so in any process.
  [[nodiscard]] bool any(bool here) const { return all_reduce({here ? 1.0 : 0.0})[0] > 0; }
  /// Calls it, which asks no other process. Where that fails in one process, all throw.
  template <class Call>
  void together(const Call& call) const {
    (void)all_reduce({}, detail::failure_of(call));
  }
  /// Each process's text, by rank.
  [[nodiscard]] std::vector<std::string> all_gather(const std::string& here) const;
  /// What process `root` gives, in all of them.
  [[nodiscard]] RunState state_of(std::int64_t root, RunState here) const;

 private:
  std::shared_ptr<Backend> backend_;
};

}  // namespace thaw

#if THAW_DEFINES(train)
#include <thaw/train/detail/world_messages.hpp>
#endif
