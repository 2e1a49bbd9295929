// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The frozen part of a model: kept features of it, or its compiled form.

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/names.hpp>
#include <thaw/train/detail/feature_store.hpp>
#include <thaw/train/detail/run_in_parts.hpp>
#include <thaw/train/detail/running_stage.hpp>
#include <thaw/train/detail/training_data.hpp>

namespace thaw::detail {

/// Runs what a stage freezes and holds apart from the rest.
class FrozenPart {
 public:
  FrozenPart(Setup& setup, TrainingData& data) : setup_(setup), data_(data) {}

  /// What can be known, before anything trains, to keep a stage from being cached. Throws ConfigError, and DataError
  /// for a source that gives nothing in order.
  void check_cache(const Stage& stage, const PlannedStage& planned, const std::string& where) const;
  /// The model as it is frozen now. Throws ConfigError where it cannot be run in parts.
  [[nodiscard]] FrozenSplit split_now() const;
  /// Sees to it that a stage's split model is up to date: at first, and when somebody changed the frozen part. `report`
  /// gets what was done, or why not.
  void update(RunningStage& run, TrainingCursor& cursor, std::string& report) const;

 private:
  [[nodiscard]] TensorSet moving_in(const PlannedStage& planned) const;
  [[nodiscard]] std::shared_ptr<const SplitModel> split_model(const RunningStage& run, std::string& report) const;
  void keep(const RunningStage& run, const FrozenForward& prefix, FeatureStore& store, SplitModel& result) const;

  Setup& setup_;
  TrainingData& data_;
};

}  // namespace thaw::detail

#if THAW_DEFINES(train)

namespace thaw::detail {

/// What the prefix makes of every sample of a pass in the source's own order.
inline Fields features_of(const FrozenForward& prefix, const BatchStream& next, std::int64_t samples,
                          const at::Device& device, FeatureStore& store, std::vector<at::MemoryFormat>& formats) {
  std::vector<at::Tensor> kept;
  std::int64_t done = 0;
  while (const std::optional<Batch> host = next()) {
    done += host->size();
    if (done > samples) break;
    const Fields features = prefix(host->to(device).input);
    const at::Device home = host->input[0].device();  // data in the device's memory has its features there too
    for (std::size_t i = 0; i < features.size(); ++i) {
      if (formats.size() == i) formats.push_back(features[i].suggest_memory_format());
      const at::Tensor rows = features[i].to(home);
      if (kept.size() == i) kept.push_back(store.make(rows, samples));
      kept[i].slice(0, done - rows.size(0), done).copy_(rows);
    }
  }
  if (done != samples)
    throw DataError("Cache",
                    "the source says " + std::to_string(samples) + " samples and gives " + std::to_string(done),
                    "let its in_order() give each sample once");
  return kept;
}

THAW_INLINE void FrozenPart::check_cache(const Stage& stage, const PlannedStage& planned,
                                         const std::string& where) const {
  const auto refuse = [&](const std::string& problem, const std::string& fix) {
    throw ConfigError(where + ", cache", problem, fix);
  };
  if (stage.cache.passes < 1) refuse(std::to_string(stage.cache.passes) + " passes", "keep at least 1");
  check_has_parts(setup_.task, where + ", cache");
  for (const DataSource* source : {&data_.train(), &data_.valid()})
    if (*source && !source->indexed())
      refuse("the data does not number its samples", "give thaw::InMemory, or a source like it: thaw::IndexedSource");
  for (const DataSource* source : {&data_.train(), &data_.valid()})
    if (!setup_.world.is_single() && *source && !source->indexed()->with_shard)
      refuse("the data cannot be shared out by the numbers of its samples",
             "give thaw::InMemory, or a source like it: thaw::ShardedSource");
  if (stage.cache.passes == 1 && augments(*data_.train().indexed()))
    refuse("the training data is augmented, so what the frozen part makes of it changes from pass to pass",
           "do not augment, or say by Cache::passes how many passes to keep");
  const std::vector<ForwardPart> parts = setup_.task.parts();
  const TensorSet moving = moving_in(planned);
  const std::string why = parts.empty() ? "is missing" : why_it_moves(parts[0], moving);
  if (!why.empty())
    refuse(parts.empty() ? "the model has no parts" : "'" + parts[0].name + "', the first part, " + why,
           "freeze the first groups for the whole stage, with Norm::hold");
}

THAW_INLINE FrozenSplit FrozenPart::split_now() const {
  check_has_parts(setup_.task, "Learner::split_frozen");
  data_.check();
  const Batch first = data_.first_batch("there are no batches");
  TensorSet moving;
  add_moving(moving, setup_.groups, setup_.groups.frozen(), setup_.groups.norm_rule());
  return split_at_first_moving(setup_.task.parts(), moving, few(first.to(setup_.device()).input));
}

/// All that moves at some time in a stage.
THAW_INLINE TensorSet FrozenPart::moving_in(const PlannedStage& planned) const {
  TensorSet moving;
  for (const auto& [step, frozen] : planned.frozen) add_moving(moving, setup_.groups, frozen, planned.norm);
  return moving;
}

/// The model cut in two for a stage. Throws ConfigError where nothing is frozen all along, or cannot be kept.
THAW_INLINE std::shared_ptr<const SplitModel> FrozenPart::split_model(const RunningStage& run,
                                                                      std::string& report) const {
  const Batch first = data_.first_batch("a second pass over it gives no batches");
  const Fields example = few(first.to(setup_.device()).input);
  setup_.groups.eval();
  check_parts(setup_.task, example);
  setup_.groups.train();
  const auto split =
      std::make_shared<const FrozenSplit>(split_at_first_moving(setup_.task.parts(), moving_in(run.plan), example));
  if (split->prefix.empty())
    throw ConfigError("model", "no part of it stays as it is: " + split->end,
                      "freeze the first parts, with Norm::hold");
  FrozenForward prefix = [split](const Fields& input) { return split->features(input); };
  if (setup_.frozen_prefix) prefix = setup_.frozen_prefix(*split);

  SplitModel result{.task = setup_.task, .unchanged = Unchanged{split->tensors()}};
  const std::string where = " up to '" + split->prefix.back().name + "'; then " + split->end;
  if (run.stage.cache) {
    FeatureStore store{run.stage.cache};
    keep(run, prefix, store, result);
    result.task.forward = [split, formats = result.formats](const Fields& features) {
      return split->output(features.map([&, i = std::size_t{0}](const at::Tensor& tensor) mutable {
        return tensor.contiguous(formats[i++]);  // as the suffix would have had it from the prefix
      }));
    };
    report = "kept, " + megabytes(store.bytes()) + "," + where;
  } else {
    result.task.forward = [split, prefix](const Fields& input) { return split->output(prefix(input)); };
    report = "compiled" + where;
  }
  return std::make_shared<const SplitModel>(std::move(result));
}

/// Runs the frozen part over all data, or over this process's samples.
THAW_INLINE void FrozenPart::keep(const RunningStage& run, const FrozenForward& prefix, FeatureStore& store,
                                  SplitModel& result) const {
  const auto of = [&](const DataSource::Indexed& source, std::int64_t pass) {
    const auto features = [&](const BatchStream& next, std::int64_t samples) {
      return features_of(prefix, next, samples, setup_.device(), store, result.formats);
    };
    if (setup_.world.is_single()) return source.with_input(features(source.in_order(pass), source.samples));
    const Shard own = setup_.world.shard();
    return source.with_shard(features(source.shard_in_order(pass, own), own.numbers(source.samples)), own);
  };
  for (std::int64_t pass = 0; pass < run.stage.cache.passes; ++pass)
    result.train.push_back(of(*data_.train().indexed(), pass));
  if (!data_.valid()) return;
  setup_.groups.eval();
  result.valid = of(*data_.valid().indexed(), 0);
  setup_.groups.train();
}

THAW_INLINE void FrozenPart::update(RunningStage& run, TrainingCursor& cursor, std::string& report) const {
  const bool must = run.stage.cache && run.stage.cache.required;
  const bool stale = run.split ? !run.split->unchanged : !run.split_tried;
  if (!setup_.world.any(stale)) return;
  const bool again = !std::exchange(run.split_tried, true) && !cursor.split_from.empty();  // the run was resumed
  run.split = nullptr;
  if (!run.stage.cache && !setup_.frozen_prefix) return;
  const bool begun = !data_.train().begun_from().empty();
  std::optional<CommonRandom> common;
  if (!begun) common.emplace(setup_.world);
  std::optional<RandomState> random;
  if (again)
    random.emplace(), set_generator_states(cursor.split_from);
  else
    cursor.split_from = generator_states();
  try {
    setup_.world.together([&] {
      if (run.stage.cache && !must) check_cache(run.stage, run.plan, "stage \"" + run.stage.name + "\"");
      run.split = split_model(run, report);
    });
  } catch (const Error& error) {
    run.split = nullptr;
    if (must) throw;
    report = std::string("as the rest: ") + error.what();
  }
  if (again && !begun) data_.train().restart();  // its first batch was looked at, not begun
  setup_.groups.train();
}

}  // namespace thaw::detail

#endif
