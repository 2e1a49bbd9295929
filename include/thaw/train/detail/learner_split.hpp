#pragma once

// What a frozen part of the model gives, kept: members of Learner. Included by thaw/train/learner.hpp alone.

#include <memory>

#include <thaw/train/detail/feature_store.hpp>
#include <thaw/train/detail/run_in_parts.hpp>
#include <thaw/train/learner.hpp>

namespace thaw {

namespace detail {

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

}  // namespace detail

/// What can be known, before anything trains, to keep a stage from being cached. Throws ConfigError,
/// and DataError for a source that gives nothing in order.
THAW_INLINE void Learner::check_cache(const Stage& stage, const detail::PlannedStage& planned,
                                      const std::string& where) const {
  const auto refuse = [&](const std::string& problem, const std::string& fix) {
    throw ConfigError(where + ", cache", problem, fix);
  };
  if (stage.cache.passes < 1) refuse(std::to_string(stage.cache.passes) + " passes", "keep at least 1");
  detail::check_has_parts(task_, where + ", cache");
  for (const DataSource* source : {&data_.train, &data_.valid})
    if (*source && !source->indexed())
      refuse("the data does not number its samples", "give thaw::InMemory, or a source like it: thaw::IndexedSource");
  for (const DataSource* source : {&data_.train, &data_.valid})
    if (!world_.is_single() && *source && !source->indexed()->with_shard)
      refuse("the data cannot be shared out by the numbers of its samples",
             "give thaw::InMemory, or a source like it: thaw::ShardedSource");
  if (stage.cache.passes == 1 && detail::augments(*data_.train.indexed()))
    refuse("the training data is augmented, so what the frozen part makes of it changes from pass to pass",
           "do not augment, or say by Cache::passes how many passes to keep");
  const std::vector<ForwardPart> parts = task_.parts();
  const detail::TensorSet moving = moving_in(planned);
  const std::string why = parts.empty() ? "is missing" : detail::why_it_moves(parts[0], moving);
  if (!why.empty())
    refuse(parts.empty() ? "the model has no parts" : "'" + parts[0].name + "', the first part, " + why,
           "freeze the first groups for the whole stage, with Norm::hold");
}

THAW_INLINE FrozenSplit Learner::split_frozen() {
  detail::check_has_parts(task_, "Learner::split_frozen");
  check_data();
  const std::optional<Batch> first = data_.train.first(epochs_begun_, world_.shard());
  if (!first) throw DataError("training data", "there are no batches", "give LearnerOptions::train at least one batch");
  detail::TensorSet moving;
  detail::add_moving(moving, groups_, groups_.frozen(), groups_.norm_rule());
  return detail::split_at_first_moving(task_.parts(), moving, detail::few(first->to(device()).input));
}

/// All that moves at some time in a stage.
THAW_INLINE detail::TensorSet Learner::moving_in(const detail::PlannedStage& planned) const {
  detail::TensorSet moving;
  for (const auto& [step, frozen] : planned.frozen) detail::add_moving(moving, groups_, frozen, planned.norm);
  return moving;
}

/// The model cut in two for a stage. Throws ConfigError where nothing is frozen all along, or cannot be kept.
THAW_INLINE std::shared_ptr<const detail::SplitModel> Learner::split_model(const detail::RunningStage& run) {
  const std::optional<Batch> first = data_.train.first(epochs_begun_, world_.shard());
  if (!first)
    throw DataError("training data", "a second pass over it gives no batches",
                    "give a source that can be run through again");
  const Fields example = detail::few(first->to(device()).input);
  groups_.eval();
  detail::check_parts(task_, example);
  groups_.train();
  const auto split =
      std::make_shared<const FrozenSplit>(detail::split_at_first_moving(task_.parts(), moving_in(run.plan), example));
  if (split->prefix.empty())
    throw ConfigError("model", "no part of it stays as it is: " + split->end,
                      "freeze the first parts, with Norm::hold");
  FrozenForward prefix = [split](const Fields& input) { return split->features(input); };
  if (frozen_) prefix = frozen_(*split);

  detail::SplitModel result{.task = task_, .unchanged = detail::Unchanged{split->tensors()}};
  std::string& report = history_.stages.back().frozen_part;
  const std::string where = " up to '" + split->prefix.back().name + "'; then " + split->end;
  if (run.stage.cache) {
    detail::FeatureStore store{run.stage.cache};
    keep(run, prefix, store, result);
    result.task.forward = [split, formats = result.formats](const Fields& features) {
      return split->output(features.map([&, i = std::size_t{0}](const at::Tensor& tensor) mutable {
        return tensor.contiguous(formats[i++]);  // as the suffix would have had it from the prefix
      }));
    };
    report = "kept, " + detail::megabytes(store.bytes()) + "," + where;
  } else {
    result.task.forward = [split, prefix](const Fields& input) { return split->output(prefix(input)); };
    report = "compiled" + where;
  }
  return std::make_shared<const detail::SplitModel>(std::move(result));
}

/// Runs the frozen part over all data, or over this process's samples.
THAW_INLINE void Learner::keep(const detail::RunningStage& run, const FrozenForward& prefix,
                               detail::FeatureStore& store, detail::SplitModel& result) {
  const auto of = [&](const DataSource::Indexed& source, std::int64_t pass) {
    const auto features = [&](const BatchStream& next, std::int64_t samples) {
      return detail::features_of(prefix, next, samples, device(), store, result.formats);
    };
    if (world_.is_single()) return source.with_input(features(source.in_order(pass), source.samples));
    const Shard own = world_.shard();
    return source.with_shard(features(source.shard_in_order(pass, own), own.numbers(source.samples)), own);
  };
  for (std::int64_t pass = 0; pass < run.stage.cache.passes; ++pass)
    result.train.push_back(of(*data_.train.indexed(), pass));
  if (!data_.valid) return;
  groups_.eval();
  result.valid = of(*data_.valid.indexed(), 0);
  groups_.train();
}

/// Sees to it that a stage's split model is up to date: at first, and when somebody changed the frozen part.
THAW_INLINE void Learner::update_split(detail::RunningStage& run) {
  const bool must = run.stage.cache && run.stage.cache.required;
  const bool stale = run.split ? !run.split->unchanged : !run.split_tried;
  if (!world_.any(stale)) return;
  const bool again = !std::exchange(run.split_tried, true) && !cursor_.split_from.empty();  // the run was resumed
  run.split = nullptr;
  if (!run.stage.cache && !frozen_) return;
  const bool begun = !data_.train.begun_from().empty();
  const std::shared_ptr<void> common = begun ? nullptr : common_random();
  std::optional<RandomState> random;
  if (again)
    random.emplace(), set_generator_states(cursor_.split_from);
  else
    cursor_.split_from = generator_states();
  try {
    world_.together([&] {
      if (run.stage.cache && !must) check_cache(run.stage, run.plan, "stage \"" + run.stage.name + "\"");
      run.split = split_model(run);
    });
  } catch (const Error& error) {
    run.split = nullptr;
    if (must) throw;
    history_.stages.back().frozen_part = std::string("as the rest: ") + error.what();
  }
  if (again && !begun) data_.train.restart();  // its first batch was looked at, not begun
  groups_.train();
}

}  // namespace thaw
