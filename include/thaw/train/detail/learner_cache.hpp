#pragma once

// What a frozen part of the model gives, kept: members of Learner. Included by thaw/train/learner.hpp alone.

#include <memory>

#include <thaw/train/detail/feature_room.hpp>
#include <thaw/train/learner.hpp>

namespace thaw {

namespace detail {

/// What the prefix makes of every sample, in the source's own order.
inline Fields features_of(const FrozenSplit& split, const DataSource::Numbered& source, const at::Device& device,
                          FeatureRoom& room) {
  std::vector<at::Tensor> kept;
  std::int64_t done = 0;
  BatchStream next = source.in_order();
  while (const std::optional<Batch> host = next()) {
    const Fields features = split.features(host->to(device).input);
    const at::Device home = host->input[0].device();  // data in the device's memory has its features there too
    for (std::size_t i = 0; i < features.size(); ++i) {
      const at::Tensor rows = features[i].to(home);
      if (kept.size() == i) kept.push_back(room.make(rows, source.samples));
      kept[i].slice(0, done, done + rows.size(0)).copy_(rows);
    }
    done += host->size();
  }
  if (done != source.samples)
    throw DataError("Cache",
                    "the source says " + std::to_string(source.samples) + " samples and gives " + std::to_string(done),
                    "let its in_order() give each sample once");
  return kept;
}

/// Whether two passes over the first samples differ, or draw random numbers.
inline bool augments(const DataSource::Numbered& source) {
  const RandomState random;
  const std::optional<Batch> first = source.in_order()(), again = source.in_order()();
  return random.moved() || !same(first->input, again->input);
}

}  // namespace detail

/// What can be known, before anything trains, to keep a stage from being cached. Throws ConfigError.
inline void Learner::check_cache(const Stage& stage, const detail::PlannedStage& planned,
                                 const std::string& where) const {
  const auto refuse = [&](const std::string& problem, const std::string& fix) {
    throw ConfigError(where + ", cache", problem, fix);
  };
  if (stage.cache.passes < 1) refuse(std::to_string(stage.cache.passes) + " passes", "keep at least 1");
  if (!task_.parts)
    refuse("the model cannot be run in parts",
           "let it be a torch::nn::Sequential, or give it forward_parts(): see thaw::ForwardPart");
  for (const DataSource* source : {&data_.train, &data_.valid})
    if (*source && !source->numbered())
      refuse("the data does not number its samples", "give thaw::InMemory, or a source like it: thaw::NumberedSource");
  if (stage.cache.passes == 1 && detail::augments(*data_.train.numbered()))
    refuse("the training data is augmented, so what the frozen part makes of it changes from pass to pass",
           "do not augment, or say by Cache::passes how many passes to keep");
  const std::vector<ForwardPart> parts = task_.parts();
  const detail::TensorSet moving = moving_in(planned);
  const auto moves = [&](const at::Tensor& tensor) { return moving.contains(tensor.unsafeGetTensorImpl()); };
  if (parts.empty() || std::ranges::any_of(parts[0].modules, [&](const auto& module) {
        return std::ranges::any_of(module->parameters(), moves) || std::ranges::any_of(module->buffers(), moves);
      }))
    refuse(parts.empty() ? "the model has no parts"
                         : "'" + parts[0].name + "', the first part, trains or moves its running statistics",
           "freeze the first groups for the whole stage, with Norm::hold");
}

/// All that moves at some time in a stage.
inline detail::TensorSet Learner::moving_in(const detail::PlannedStage& planned) const {
  detail::TensorSet moving;
  for (const auto& [step, frozen] : planned.frozen) detail::add_moving(moving, groups_, frozen, planned.norm);
  return moving;
}

/// Runs the frozen part over all data. Throws ConfigError where it has none, or the limit is too low.
inline std::shared_ptr<const Learner::Cached> Learner::cached(const Run& run) {
  const DataSource::Numbered& train = *data_.train.numbered();
  const Fields example = train.in_order()()->to(device()).input;
  {
    const c10::NoGradGuard no_grad;
    groups_.eval();
    if (!detail::same(FrozenSplit{.suffix = task_.parts()}.output(example), task_.forward(example)))
      throw ConfigError("Cache", "the model's forward_parts() do not give what its forward gives",
                        "let them do the same, one after the other");
  }
  groups_.train();
  const auto split =
      std::make_shared<const FrozenSplit>(detail::split_at_first_moving(task_.parts(), moving_in(run.plan), example));
  if (split->prefix.empty())
    throw ConfigError("Cache", "nothing can be kept: " + split->end, "freeze the first parts, with Norm::hold");

  detail::Task task = task_;
  task.forward = [split](const Fields& features) { return split->output(features); };
  Cached result{.task = std::move(task), .unchanged = detail::Unchanged{split->tensors()}};
  detail::FeatureRoom room{run.stage.cache};
  for (std::int64_t pass = 0; pass < run.stage.cache.passes; ++pass)
    result.train.push_back(train.with_input(detail::features_of(*split, train, device(), room)));
  if (data_.valid) {
    groups_.eval();
    const DataSource::Numbered& valid = *data_.valid.numbered();
    result.valid = valid.with_input(detail::features_of(*split, valid, device(), room));
    groups_.train();
  }
  history_.stages.back().cache = "kept what '" + split->prefix.back().name + "' gives, " +
                                 detail::megabytes(room.bytes()) + "; then " + split->end;
  return std::make_shared<const Cached>(std::move(result));
}

/// Sees to it that what is kept is up to date: at first, and when somebody changed the frozen part.
inline void Learner::update_cache(Run& run) {
  if (!run.stage.cache || (run.cached && run.cached->unchanged)) return;
  if (!run.stage.cache.required && !history_.stages.back().cache.empty() && !run.cached) return;  // tried before
  try {
    if (!run.stage.cache.required) check_cache(run.stage, run.plan, "stage \"" + run.stage.name + "\"");
    run.cached = cached(run);
  } catch (const Error& error) {
    if (run.stage.cache.required) throw;
    history_.stages.back().cache = std::string("not kept: ") + error.what();
    run.cached = nullptr;
    groups_.train();
  }
}

}  // namespace thaw
