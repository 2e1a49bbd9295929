// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What a Learner trains on, and how it is tried before anything trains.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/random_state.hpp>
#include <thaw/train/detail/check_source.hpp>
#include <thaw/train/detail/setup.hpp>
#include <thaw/train/detail/too_few_samples.hpp>
#include <thaw/train/detail/training_cursor.hpp>
#include <thaw/train/detail/world_random.hpp>
#include <thaw/train/plan.hpp>

namespace thaw::detail {

/// A Learner's data, and how many passes over it have begun.
class TrainingData {
 public:
  TrainingData(Setup& setup, LearnerData data) : setup_(setup), data_(std::move(data)) {}

  void set(LearnerData data) {
    data_ = std::move(data);
    checked_ = checked_before_ = false;
  }
  [[nodiscard]] const LearnerData& get() const { return data_; }
  [[nodiscard]] const DataSource& train() const { return data_.train; }
  [[nodiscard]] const DataSource& valid() const { return data_.valid; }

  /// The first batch of the training pass that comes next; the pass gives it again.
  [[nodiscard]] std::optional<Batch> first() const { return data_.train.first(epochs_begun_, setup_.world.shard()); }
  /// The same, which must be there.
  [[nodiscard]] Batch first_batch(const char* problem) const;
  /// Numbers the passes over the training data: each is shuffled anew.
  [[nodiscard]] std::int64_t epochs_begun() const { return epochs_begun_; }
  void begin_epoch() { ++epochs_begun_; }

  /// Tries the data on the model, once; where it does not fit in one process, all throw.
  void check();
  /// A resumed run planned its fit, which tried it.
  void was_checked() { checked_ = true; }
  /// Throws DataError where a batch of each epoch, as a rule its last, has one sample and a norm layer that trains, at
  /// some time in the stage, cannot do with it: known only by trying, since the same layer can where it sees many
  /// positions of that sample.
  void check_last_batch(const PlannedStage& stage, const std::string& where) const;

  void visit(const StateVisitor& state);

  /// While it lives, data is only tried: a first check of it does not count, and passes that it began are given up.
  /// Otherwise a loader that shuffles would go on in an order that was drawn for nothing.
  class OnlyTried {
   public:
    explicit OnlyTried(TrainingData& data) : data_(data.checked_ || data.checked_before_ ? nullptr : &data) {}
    ~OnlyTried() {
      if (data_ == nullptr) return;
      data_->checked_ = false;
      data_->train().restart();
      data_->valid().restart();
    }
    OnlyTried(const OnlyTried&) = delete;
    OnlyTried& operator=(const OnlyTried&) = delete;

   private:
    TrainingData* data_;
  };

 private:
  void sanity_check();
  void visit_pass(const StateVisitor& state, const DataSource& source) const;

  Setup& setup_;
  LearnerData data_;
  std::int64_t epochs_begun_ = 0;
  bool checked_ = false;         // the data was tried on the model
  bool checked_before_ = false;  // it was, in the process that a resumed run goes on with
};

}  // namespace thaw::detail

#if THAW_DEFINES(train)

namespace thaw::detail {

THAW_INLINE Batch TrainingData::first_batch(const char* problem) const {
  if (std::optional<Batch> batch = first()) return *std::move(batch);
  throw DataError("training data", problem, "give a source that can be run through again, with at least one batch");
}

THAW_INLINE void TrainingData::check() {
  if (checked_) return;
  const CommonRandom common(setup_.world);
  setup_.world.together([&] { sanity_check(); });
}

THAW_INLINE void TrainingData::sanity_check() {
  const bool quietly = std::exchange(checked_before_, false);  // of a resumed run: it draws nothing
  std::optional<RandomState> random;
  if (quietly) random.emplace();
  const bool train_begun = !train().begun_from().empty(), valid_begun = !valid().begun_from().empty();
  if (!train() || train().batches() == 0)
    throw DataError("training data", "there are no batches", "give LearnerOptions::train at least one batch");
  if (valid() && valid().batches() == 0)
    throw DataError("validation data", "there are no batches",
                    "give LearnerOptions::valid at least one, or leave it out");
  check_same_classes(train().classes(), valid().classes());
  const LayerGroups& groups = setup_.groups;
  groups.eval();
  if (setup_.mode->layout != Layout::contiguous)
    if (const std::optional<Batch> batch = first())
      settle_layout(*setup_.mode, setup_.task, *groups.module(),
                    Batch{.input = few(batch->input), .target = {}}.to(setup_.device()).input);
  const auto check = [&](const DataSource& source, std::int64_t epoch, const char* what, const auto& metrics) {
    return check_source(setup_.task, source, epoch, setup_.world.shard(), groups, setup_.mode->layout, what, metrics);
  };
  check_leaves(setup_.task, check(train(), epochs_begun_, "training data", std::vector<Metric>()), groups);
  if (valid()) (void)check(valid(), 0, "validation data", setup_.metrics);
  checked_ = true;
  if (quietly && !train_begun) train().restart();
  if (quietly && !valid_begun) valid().restart();
}

THAW_INLINE void TrainingData::check_last_batch(const PlannedStage& stage, const std::string& where) const {
  const std::optional<std::int64_t> fewest = train().smallest_batch();
  if (fewest == 0) throw no_samples("training data");
  if (!fewest || *fewest / setup_.world.size() > 1) return;  // also in the smallest shard
  const LayerGroups& groups = setup_.groups;
  const TryOut nothing_stays{*groups.module()};
  const std::optional<Batch> batch = first();
  if (!batch) return;
  const Fields sample = batch->to(setup_.device()).input.map([](const at::Tensor& t) { return t.slice(0, 0, 1); });
  groups.module()->train();
  for (std::size_t i = 0; i < groups.size(); ++i)
    if (std::ranges::all_of(stage.frozen, [&](const auto& now) { return stage.norm.of(now.frozen[i]) == Norm::hold; }))
      for (const auto& layer : groups[i].norms) layer->eval();
  bool too_few = false;
  try {
    (void)setup_.task.forward(sample);
  } catch (const std::exception& error) {  // anything else is for the step to say
    too_few = is_too_few_for_norm(error);
  }
  if (too_few) throw too_few_for_norm(where);
}

THAW_INLINE void TrainingData::visit(const StateVisitor& state) {
  state("epochs begun", epochs_begun_);
  bool checked = checked_ || checked_before_;
  state("checked", checked);
  if (state.reading()) checked_ = false, checked_before_ = checked;
  visit_pass(state.in("train pass"), train());
  visit_pass(state.in("validation pass"), valid());
}

/// A pass over data whose first batch was looked at, and which is still to come.
THAW_INLINE void TrainingData::visit_pass(const StateVisitor& state, const DataSource& source) const {
  std::vector<GeneratorState> from = source.begun_from();
  visit_generators(state, from);
  if (!state.reading()) return;
  source.restart();
  if (from.empty() || !source) return;
  set_generator_states(from);
  (void)source.first(epochs_begun_, setup_.world.shard());
}

}  // namespace thaw::detail

#endif
