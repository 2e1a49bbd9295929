// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/ops/empty.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/find/lr_curve.hpp>
#include <thaw/train/history.hpp>
#include <thaw/train/run_state.hpp>

// A history in a checkpoint. There may be a million steps, so they are kept in three tensors.
namespace thaw::detail {

inline void visit(const StateVisitor& state, std::vector<StepRecord>& steps, std::size_t groups) {
  const auto width = static_cast<std::int64_t>(groups) + 2;  // rates, momentum, loss
  at::Tensor table;
  constexpr double none = std::numeric_limits<double>::infinity();  // no momentum; a loss may be a NaN
  if (!state.reading()) {
    table = at::empty({std::ssize(steps), width}, at::kDouble);
    auto* row = table.data_ptr<double>();
    for (const StepRecord& step : steps) {
      for (const double lr : step.lr) *row++ = lr;
      *row++ = step.momentum.value_or(none);
      *row++ = step.loss;
    }
  }
  state("steps", table);
  if (!state.reading()) return;
  if (!table.defined() || table.dim() != 2 || table.size(1) != width || table.scalar_type() != at::kDouble)
    throw FileError("history/steps", "is of another kind in the checkpoint", "resume with the program that wrote it");
  table = table.contiguous();
  steps.clear();
  steps.reserve(static_cast<std::size_t>(table.size(0)));
  const auto* row = table.const_data_ptr<double>();
  for (std::int64_t i = 0; i < table.size(0); ++i, row += width) {
    steps.push_back({.lr = {row, row + groups}, .loss = row[groups + 1]});
    if (row[groups] != none) steps.back().momentum = row[groups];
  }
}

/// One field of all records.
template <class Record, class T>
void column(const StateVisitor& state, const std::string& name, std::vector<Record>& records, T Record::* field) {
  std::vector<T> values;
  values.reserve(records.size());
  for (const Record& record : records) values.push_back(record.*field);
  state(name, values);
  records.resize(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) records[i].*field = values[i];
}

/// A field that is a list, of all records: how many there are of each, and all of them.
template <class Record, class T>
void lists(const StateVisitor& state, const std::string& sizes_name, const std::string& name,
           std::vector<Record>& records, std::vector<T> Record::*field) {
  std::vector<std::int64_t> sizes;
  std::vector<T> all;
  for (const Record& record : records) {
    sizes.push_back(std::ssize(record.*field));
    all.insert(all.end(), (record.*field).begin(), (record.*field).end());
  }
  state(sizes_name, sizes);
  state(name, all);
  if (!state.reading()) return;
  auto next = all.begin();
  for (std::size_t i = 0; i < records.size(); ++i)
    for (std::int64_t n = 0; n < sizes.at(i) && next != all.end(); ++n) (records[i].*field).push_back(*next++);
}

inline void visit(const StateVisitor& state, std::vector<EpochRecord>& epochs) {
  if (state.reading()) epochs.clear();
  column(state, "stage", epochs, &EpochRecord::stage);
  column(state, "epoch", epochs, &EpochRecord::epoch);
  column(state, "epochs", epochs, &EpochRecord::epochs);
  column(state, "steps_done", epochs, &EpochRecord::steps_done);
  column(state, "train_loss", epochs, &EpochRecord::train_loss);
  column(state, "seconds", epochs, &EpochRecord::seconds);
  if (!state.reading() || state.has("peak_memory")) column(state, "peak_memory", epochs, &EpochRecord::peak_memory);
  column(state, "stop", epochs, &EpochRecord::stop);
  lists(state, "rates", "lr", epochs, &EpochRecord::lr);
  if (!state.reading() || state.has("norms_only"))
    lists(state, "norms", "norms_only", epochs, &EpochRecord::norms_only);

  std::vector<bool> validated;
  std::vector<Evaluation> evaluations;
  std::vector<std::int64_t> sizes;
  std::vector<MetricValue> metrics;
  for (const EpochRecord& epoch : epochs) {
    validated.push_back(epoch.valid.has_value());
    evaluations.push_back(epoch.valid.value_or(Evaluation()));
    sizes.push_back(std::ssize(evaluations.back().metrics));
    for (const MetricValue& metric : evaluations.back().metrics) metrics.push_back(metric);
  }
  const StateVisitor valid = state.in("valid");
  valid("there", validated);
  column(valid, "loss", evaluations, &Evaluation::loss);
  valid("metrics", sizes);
  column(valid, "name", metrics, &MetricValue::name);
  column(valid, "value", metrics, &MetricValue::value);
  if (!state.reading()) return;
  auto next = metrics.begin();
  for (std::size_t i = 0; i < epochs.size(); ++i) {
    if (!validated.at(i)) continue;
    for (std::int64_t n = 0; n < sizes.at(i) && next != metrics.end(); ++n)
      evaluations.at(i).metrics.push_back(std::move(*next++));
    epochs[i].valid = std::move(evaluations.at(i));
  }
}

inline void visit(const StateVisitor& state, std::vector<StageRecord>& stages, std::size_t groups) {
  if (state.reading()) stages.clear();
  column(state, "name", stages, &StageRecord::name);
  column(state, "first_step", stages, &StageRecord::first_step);
  column(state, "steps", stages, &StageRecord::steps);
  column(state, "frozen_part", stages, &StageRecord::frozen_part);
  if (!state.reading() || state.has("notes")) {
    lists(state, "rates", "lr", stages, &StageRecord::lr);
    lists(state, "noted", "notes", stages, &StageRecord::notes);
  }
  std::vector<bool> frozen;
  for (const StageRecord& stage : stages) frozen.insert(frozen.end(), stage.frozen.begin(), stage.frozen.end());
  state("frozen", frozen);
  for (std::size_t i = 0; i < stages.size() && state.reading(); ++i)
    for (std::size_t g = 0; g < groups; ++g) stages[i].frozen.push_back(frozen.at(i * groups + g));
}

inline void visit(const StateVisitor& state, LRCurve& curve) {
  state("lr", curve.lr);
  state("loss", curve.loss);
  state("smoothed", curve.smoothed);
  state("planned", curve.planned);
  state("stopped_early", curve.stopped_early);
  state("change", curve.change);
  state("held_out_lr", curve.held_out_lr);
  state("held_out", curve.held_out);
  if (state.reading() && !state.has("ratios")) return;
  state("ratios", curve.ratios);
  state("before_step", curve.before_step);
}

inline void visit(const StateVisitor& state, std::vector<LRCurve>& curves) {
  std::int64_t size = std::ssize(curves);
  state("size", size);
  if (size < 0 || size > 1'000'000) throw FileError("sweeps", "are too many in the checkpoint", "take an older one");
  curves.resize(static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < curves.size(); ++i) visit(state.in(std::to_string(i)), curves[i]);
}

inline void visit(const StateVisitor& state, std::vector<std::vector<double>>& lists) {
  std::vector<std::int64_t> sizes;
  std::vector<double> all;
  for (const std::vector<double>& list : lists) {
    sizes.push_back(std::ssize(list));
    all.insert(all.end(), list.begin(), list.end());
  }
  if (state.reading() && !state.has("sizes")) return lists.clear();
  state("sizes", sizes);
  state("all", all);
  lists.clear();
  auto next = all.cbegin();
  for (const std::int64_t size : sizes) {
    if (size < 0 || size > all.cend() - next)
      throw FileError("decisions", "make no sense in the checkpoint", "take an older one");
    lists.emplace_back(next, next + size);
    next += size;
  }
}

/// Values of groups in another order, as `wanted`; a group that was not there gets `otherwise`.
template <class T>
std::vector<T> by_name(const std::vector<T>& values, const std::vector<std::string>& names,
                       const std::vector<std::string>& wanted, T otherwise) {
  std::vector<T> result;
  for (const std::string& name : wanted) {
    const auto place = static_cast<std::size_t>(std::ranges::find(names, name) - names.begin());
    result.push_back(place < values.size() ? static_cast<T>(values[place]) : otherwise);
  }
  return result;
}

/// `groups`: names in the order in which the checkpoint has them.
inline void visit(const StateVisitor& state, History& history, const std::vector<std::string>& groups) {
  visit(state, history.steps, groups.size());
  state("every", history.every);
  state("steps done", history.steps_done);
  if (history.every < 1 || history.steps_done < 0 ||
      std::ssize(history.steps) !=
          history.steps_done / history.every + (history.steps_done % history.every == 0 ? 0 : 1))
    throw FileError("history", "makes no sense in the checkpoint: its steps do not fit their number",
                    "take an older one");
  visit(state.in("epochs"), history.epochs);
  visit(state.in("stages"), history.stages, groups.size());
  if (groups == history.groups) return;
  for (StepRecord& step : history.steps) step.lr = by_name(step.lr, groups, history.groups, 0.0);
  for (EpochRecord& epoch : history.epochs) {
    if (!epoch.lr.empty()) epoch.lr = by_name(epoch.lr, groups, history.groups, 0.0);
    epoch.norms_only = by_name(epoch.norms_only, groups, history.groups, false);
  }
  for (StageRecord& stage : history.stages) {
    stage.frozen = by_name(stage.frozen, groups, history.groups, false);
    if (!stage.lr.empty()) stage.lr = by_name(stage.lr, groups, history.groups, 0.0);
  }
}

}  // namespace thaw::detail
