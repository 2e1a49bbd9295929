// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/stack.h>

#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <thaw/core/accelerator.hpp>
#include <thaw/core/compiled.hpp>
#include <thaw/core/random_state.hpp>
#include <thaw/groups/norm_rule.hpp>
#include <thaw/train/history.hpp>
#include <thaw/train/run_state.hpp>

namespace thaw::detail {

/// Sixteen hexadecimal digits from the system, not from a generator that a seed decides.
[[nodiscard]] std::string new_run_id();

/// Where a run is, and what the epoch that is running has gathered.
struct TrainingCursor {
  std::int64_t fit = 0;      ///< calls of fit that are done
  std::int64_t stage = 0;    ///< stages of the running one that are done
  std::int64_t epoch = 0;    ///< epochs of the running stage that are done
  std::int64_t step = 0;     ///< steps of the running stage that are done
  std::int64_t skipped = 0;  ///< of these, at Precision::float16, since gradients overflowed: as far as is known
  bool begun = false;        ///< the running stage was begun
  std::optional<double> momentum = {};

  std::vector<bool> frozen = {};  ///< groups, as the running fit began
  NormRule norm = {};             ///< likewise

  std::vector<double> lr = {};                  ///< of the last step, per layer group
  std::vector<at::Tensor> losses = {};          ///< of the running epoch's last steps, on their device, not yet read
  std::vector<double> samples = {};             ///< likewise
  std::int64_t read = 0;                        ///< steps of the running epoch whose losses were read
  double loss_sum = 0, sample_sum = 0;          ///< over those
  double seconds = 0;                           ///< that epochs took in processes that ended before
  std::vector<GeneratorState> pass = {};        ///< what the running epoch's pass over the data started from
  std::vector<GeneratorState> split_from = {};  ///< what the frozen part was run from over the data, where it was

  [[nodiscard]] bool in_fit() const { return stage > 0 || begun; }
  [[nodiscard]] std::int64_t epoch_steps() const { return read + std::ssize(losses); }
  [[nodiscard]] bool in_epoch() const { return epoch_steps() > 0; }
};

void visit_generators(const StateVisitor& state, std::vector<GeneratorState>& generators);

void visit(const StateVisitor& state, NormRule& norm);

/// Throws FileError for what no run can have written.
void check(const TrainingCursor& cursor, const History& history, std::int64_t fits);

void visit(const StateVisitor& state, TrainingCursor& cursor);

}  // namespace thaw::detail

#if THAW_DEFINES(train)

namespace thaw::detail {

THAW_INLINE std::string new_run_id() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}", random(), random());
}

THAW_INLINE void visit_generators(const StateVisitor& state, std::vector<GeneratorState>& generators) {
  std::vector<std::string> devices;
  devices.reserve(generators.size());
  for (const GeneratorState& each : generators) devices.push_back(each.device.str());
  state("devices", devices);
  if (state.reading()) generators.clear();
  for (std::size_t i = 0; i < devices.size(); ++i) {
    at::Tensor bytes = state.reading() ? at::Tensor() : generators[i].state;
    state(devices[i], bytes);
    if (!state.reading()) continue;
    if (const at::Device device(devices[i]); has_device(device) && bytes.defined())
      generators.push_back({device, bytes});
  }
}

THAW_INLINE void visit(const StateVisitor& state, NormRule& norm) {
  auto frozen = static_cast<std::int64_t>(norm.frozen), thawed = static_cast<std::int64_t>(norm.thawed);
  state("frozen", frozen);
  state("thawed", thawed);
  norm = {.frozen = static_cast<Norm>(frozen), .thawed = static_cast<Norm>(thawed)};
}

THAW_INLINE void check(const TrainingCursor& cursor, const History& history, std::int64_t fits) {
  if (cursor.fit != fits || cursor.stage < 0 || cursor.epoch < 0 || cursor.step < 0 || cursor.skipped < 0 ||
      cursor.skipped > cursor.step || cursor.read < 0 || cursor.read > history.steps_done - std::ssize(cursor.losses) ||
      cursor.losses.size() != cursor.samples.size() || cursor.epoch > std::ssize(history.epochs) ||
      (cursor.begun && history.stages.empty()))
    throw FileError("Learner::resume", "the state makes no sense: its place does not fit its history",
                    "take an older checkpoint");
}

THAW_INLINE void visit(const StateVisitor& state, TrainingCursor& cursor) {
  state("fit", cursor.fit);
  state("stage", cursor.stage);
  state("epoch", cursor.epoch);
  state("step", cursor.step);
  if (!state.reading() || state.has("left out")) state("left out", cursor.skipped);
  state("begun", cursor.begun);
  state("momentum", cursor.momentum);
  state("frozen", cursor.frozen);
  visit(state.in("norm"), cursor.norm);
  state("lr", cursor.lr);
  at::Tensor losses = cursor.losses.empty() ? at::Tensor() : at::stack(cursor.losses);
  state("losses", losses);
  if (state.reading()) cursor.losses = losses.defined() ? losses.unbind() : std::vector<at::Tensor>();
  state("samples", cursor.samples);
  state("read", cursor.read);
  state("loss sum", cursor.loss_sum);
  state("sample sum", cursor.sample_sum);
  state("seconds", cursor.seconds);
  visit_generators(state.in("pass"), cursor.pass);
  visit_generators(state.in("halves"), cursor.split_from);
}

}  // namespace thaw::detail

#endif
