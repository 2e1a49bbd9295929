#pragma once

// What the processes that train together agree on: members of Learner. Included by thaw/train/learner.hpp alone.

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/random_state.hpp>
#include <thaw/train/detail/optimizer_state.hpp>
#include <thaw/train/detail/world_random.hpp>
#include <thaw/train/learner.hpp>

namespace thaw {

/// All begin with the weights of the first.
THAW_INLINE void Learner::join() {
  if (world_.is_single()) return;
  world_.backend()->begin(groups_, *optimizer_);
  std::vector<at::Tensor> all;
  groups_.each_tensor([&](const std::string&, const at::Tensor& tensor) { all.push_back(tensor); });
  world_.broadcast(all);
  run_id_ = world_.all_gather(run_id_)[0];
  if (world_.backend()->shards_optimizer() && detail::has_foreign_state(*optimizer_))
    throw ConfigError("LearnerOptions::world", "the optimizer's state is to be shared out, and is not LibTorch's",
                      "take thaw's or LibTorch's AdamW, Adam, SGD, RMSprop or Adagrad, or do not shard it");
  detail::draw_apart(world_);
  silence(callbacks_);
}

/// Those who write files or speak to people do so in the first process.
THAW_INLINE void Learner::silence(std::vector<Callback>& callbacks) const {
  if (world_.is_rank_zero()) return;
  for (Callback& callback : callbacks)
    if (callback.first_process_only()) callback = callback.silenced();
}

template <class Event>
void Learner::announce(const std::vector<Callback>& callbacks, const Event& event) const {
  const std::exception_ptr failed = detail::failure_of([&] { tell(callbacks, event); });
  if (!failed) return;
  if (!world_.is_single())
    (void)detail::failure_of([&] { (void)world_.all_reduce({}, failed); });  // it is thrown below
  std::rethrow_exception(failed);
}

/// `any`: in how many of them a callback wants the stage to end.
THAW_INLINE void Learner::agree_on_stop(double any) {
  if (any == 0 || world_.is_single()) return;
  for (const std::string& reason : world_.all_gather(stop_ ? "+" + *stop_ : "-"))
    if (reason[0] == '+') {
      stop_ = reason.substr(1);
      return;
    }
}

/// Whether the stage is to end, in all processes.
THAW_INLINE bool Learner::stops() {
  agree_on_stop(world_.all_reduce({stop_ ? 1.0 : 0.0})[0]);
  return stop_.has_value();
}

/// The next batch, in all processes; none where the pass or the stage ends.
THAW_INLINE std::optional<Learner::Drawn> Learner::draw(BatchStream& next) {
  std::optional<Batch> batch;
  const std::exception_ptr failed = detail::failure_of([&] {
    if (!stop_) batch = next();
  });
  const auto samples = static_cast<double>(batch ? batch->counted() : 0);
  const std::vector<double> sums = world_.all_reduce({stop_ ? 1.0 : 0.0, batch ? 1.0 : 0.0, samples}, failed);
  agree_on_stop(sums[0]);
  if (stop_ || sums[1] == 0) return std::nullopt;
  if (!batch || sums[1] < static_cast<double>(world_.size()))
    throw DataError("training data", "an epoch has more batches in some processes than in others",
                    "give the same data in every process: each takes its own shard of every batch");
  return Drawn{.batch = *std::move(batch), .samples = static_cast<std::int64_t>(sums[2])};
}

/// While it lives, a process draws what the first one draws: a loader that shuffles must do so alike in all.
THAW_INLINE std::shared_ptr<void> Learner::common_random() const {
  if (world_.is_single()) return {};
  at::Tensor first = generator_state(at::kCPU).state;
  world_.broadcast({first});
  if (world_.is_rank_zero()) return {};
  std::shared_ptr<void> own(nullptr, [own = generator_state(at::kCPU)](void*) { set_generator_states({own}); });
  set_generator_states({{at::kCPU, first}});
  return own;
}

/// Running statistics are of each process's own samples; those of the first count.
THAW_INLINE void Learner::share_buffers() const {
  if (world_.is_single()) return;
  std::vector<at::Tensor> all;
  for (const LayerGroup& group : groups_)
    for (const auto& [name, buffer] : group.buffers)
      if (buffer.defined()) all.push_back(buffer);
  world_.broadcast(all);
}

/// While it lives, the first process's optimizer remembers what those of all processes do, where they share that out.
THAW_INLINE std::shared_ptr<void> Learner::whole_optimizer() const {
  if (world_.is_single() || !world_.backend()->shards_optimizer()) return {};
  RunState whole;
  detail::visit_optimizer({whole, /*reading=*/false}, *optimizer_, groups_);
  for (std::int64_t rank = 1; rank < world_.size(); ++rank)
    for (auto& [name, tensor] : world_.state_of(rank, rank == world_.rank() ? detail::remembered(whole) : RunState()))
      if (world_.is_rank_zero()) whole.insert_or_assign(name, tensor);
  if (world_.is_rank_zero()) detail::visit_optimizer({whole, /*reading=*/true}, *optimizer_, groups_);
  return {nullptr, [this](void*) { keep_own_state(); }};
}

THAW_INLINE void Learner::keep_own_state() const {
  if (!world_.is_single()) world_.backend()->keep_own_state();
}

}  // namespace thaw
