#pragma once

// What is tried before a fit begins: members of Learner. Included by thaw/train/learner.hpp alone.

#include <algorithm>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <thaw/train/detail/check_source.hpp>
#include <thaw/train/detail/compute_mode.hpp>
#include <thaw/train/detail/too_few_for_norm.hpp>
#include <thaw/train/learner.hpp>

namespace thaw {

/// While it lives, data is only tried out: a first check of it does not count, and passes that it began are given up.
/// Otherwise a loader that shuffles would go on in an order that was drawn for nothing.
THAW_INLINE std::shared_ptr<void> Learner::sanity_check_only() {
  if (checked_ || sanity_checked_before_) return {};
  return {nullptr, [this](void*) {
            checked_ = false;
            data_.train.restart();
            data_.valid.restart();
          }};
}

/// Throws ConfigError where a fit or a sweep runs: its plan, its pass over the data and its place would be lost.
THAW_INLINE void Learner::refuse_in_callback(const char* call) const {
  if (fit_ != nullptr || finding_lr_)
    throw ConfigError("Learner::" + std::string(call), "a callback calls it while a fit or find_lr runs",
                      "call stop(reason) there, and this once fit has returned");
}

/// Throws ConfigError where a callback must see each loss, which no host does when a captured pass is replayed.
THAW_INLINE void Learner::check_graphs(const std::vector<Callback>& callbacks) const {
  if (!cuda_graphs_) return;
  for (const Callback& callback : callbacks)
    if (callback.hears<LossReady>())
      throw ConfigError("LearnerOptions::cuda_graphs", callback.name() + " hears of the loss within each step",
                        "leave it off, or train without that callback");
}

/// Tries the data on the model, once; where it does not fit in one process, all end.
THAW_INLINE void Learner::check_data() {
  if (checked_) return;
  const std::shared_ptr<void> common = common_random();
  world_.together([&] { run_sanity_check(); });
}

THAW_INLINE void Learner::run_sanity_check() {
  const bool quietly = std::exchange(sanity_checked_before_, false);  // of a resumed run: it draws nothing
  std::optional<RandomState> random;
  if (quietly) random.emplace();
  const bool train_begun = !data_.train.begun_from().empty(), valid_begun = !data_.valid.begun_from().empty();
  if (!data_.train || data_.train.batches() == 0)
    throw DataError("training data", "there are no batches", "give LearnerOptions::train at least one batch");
  if (data_.valid && data_.valid.batches() == 0)
    throw DataError("validation data", "there are no batches",
                    "give LearnerOptions::valid at least one, or leave it out");
  detail::check_same_classes(data_.train.classes(), data_.valid.classes());
  groups_.eval();
  if (mode_->layout != Layout::contiguous)
    if (const std::optional<Batch> first = data_.train.first(epochs_begun_, world_.shard()))
      detail::settle_layout(*mode_, task_, *groups_.module(),
                            Batch{.input = detail::few(first->input), .target = {}}.to(device()).input);
  const auto check = [&](const DataSource& source, std::int64_t epoch, const char* what, const auto& metrics) {
    return detail::check_source(task_, source, epoch, world_.shard(), groups_, mode_->layout, what, metrics);
  };
  detail::check_leaves(task_, check(data_.train, epochs_begun_, "training data", std::vector<Metric>()), groups_);
  if (data_.valid) (void)check(data_.valid, 0, "validation data", metrics_);
  checked_ = true;
  if (quietly && !train_begun) data_.train.restart();
  if (quietly && !valid_begun) data_.valid.restart();
}

/// Throws DataError where a batch of each epoch, as a rule its last, has one sample and a norm layer that trains, at
/// some time in the stage, cannot do with it: known only by trying, since the same layer can where it sees many
/// positions of that sample.
THAW_INLINE void Learner::check_last_batch(const detail::PlannedStage& stage, const std::string& where) {
  const std::optional<std::int64_t> fewest = data_.train.smallest_batch();
  if (!fewest || *fewest / world_.size() > 1) return;  // also in the smallest shard
  const detail::TryOut nothing_stays{*groups_.module()};
  const std::optional<Batch> first = data_.train.first(epochs_begun_, world_.shard());
  if (!first) return;
  const Fields sample = first->to(device()).input.map([](const at::Tensor& t) { return t.slice(0, 0, 1); });
  groups_.module()->train();
  for (std::size_t i = 0; i < groups_.size(); ++i)
    if (std::ranges::all_of(stage.frozen, [&](const auto& now) { return stage.norm.of(now.frozen[i]) == Norm::hold; }))
      for (const auto& layer : groups_[i].norms) layer->eval();
  bool too_few = false;
  try {
    (void)task_.forward(sample);
  } catch (const std::exception& error) {  // anything else is for the step to say
    too_few = detail::is_too_few_for_norm(error);
  }
  if (too_few) throw detail::too_few_for_norm(where);
}

}  // namespace thaw
