// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>

namespace thaw {

/// A metric's name and its value over one pass.
struct MetricValue {
  std::string name = {};
  double value = 0;
};

/// What validation gave: the mean loss per sample and every metric, in the order asked for.
struct Evaluation {
  double loss = 0;
  std::vector<MetricValue> metrics = {};
};

/// One optimizer step.
struct StepRecord {
  std::vector<double> lr = {};          ///< absolute rate per layer group; 0 for one that was frozen
  std::optional<double> momentum = {};  ///< momentum (SGD) or beta1 (Adam), where the optimizer has one
  double loss = std::numeric_limits<double>::quiet_NaN();  ///< training loss of the step; read as the epoch ends
};

/// One epoch of one stage.
struct EpochRecord {
  std::string stage = {};
  std::int64_t epoch = 0;                ///< 1 is the stage's first
  std::int64_t epochs = 0;               ///< how many the stage has
  std::int64_t steps_done = 0;           ///< History::steps_done when it ended
  std::vector<double> lr = {};           ///< rates of its last step, as in StepRecord; empty where no step was done
  double train_loss = 0;                 ///< mean over the epoch's samples, as they were trained on
  std::optional<Evaluation> valid = {};  ///< none where there is no validation data
  double seconds = 0;                    ///< wall time, validation included
  std::int64_t peak_memory = 0;          ///< bytes that tensors took on the device at most; 0 where not known (CPU)
  std::string stop = {};                 ///< why the stage ended with this epoch; empty where nothing stopped it
  std::vector<bool> norms_only = {};     ///< per layer group: frozen in its last step, but for its norm layers
};

/// One stage: which steps were its own, and which groups it trained.
struct StageRecord {
  std::string name = {};
  std::int64_t first_step = 0;  ///< History::steps_done when it began
  std::int64_t steps = 0;
  std::vector<bool> frozen = {};  ///< per layer group, as the stage began
  std::string frozen_part = {};   ///< how it ran: compiled, kept (Stage::cache), or why not; empty where not asked for
  std::vector<double> lr = {};    ///< peak rate per layer group; 0 for one that is frozen all along
  std::vector<std::string> notes = {};  ///< in words: Stage::why, and what callbacks had to say (Learner::note)
};

/// All that a Learner trained so far, oldest first; it grows with every fit. So that a run of millions of steps needs
/// no more memory than one of thousands, it keeps `max_recorded_steps` steps: whenever there would be more, every
/// second is dropped, and from then on every second is recorded.
struct History {
  std::vector<std::string> groups = {};  ///< names of the layer groups
  std::vector<StepRecord> steps = {};    ///< steps[i] is step i * every, the first being 0
  std::int64_t every = 1;                ///< a power of two
  std::int64_t steps_done = 0;           ///< all, recorded or not
  std::vector<EpochRecord> epochs = {};
  std::vector<StageRecord> stages = {};
  std::size_t max_recorded_steps = 65'536;  ///< LearnerOptions::max_recorded_steps

  /// One more step.
  void add(StepRecord record);

  /// The record of a step, the first being 0, where it was kept.
  [[nodiscard]] StepRecord* find(std::int64_t step);

 private:
  void thin();
};

}  // namespace thaw

#if THAW_DEFINES(train)

namespace thaw {

THAW_INLINE void History::add(StepRecord record) {
  if (steps_done % every == 0) {
    if (steps.size() >= std::max<std::size_t>(max_recorded_steps, 2)) thin();
    if (steps_done % every == 0) steps.push_back(std::move(record));
  }
  ++steps_done;
}

THAW_INLINE StepRecord* History::find(std::int64_t step) {
  const auto i = static_cast<std::size_t>(step / every);
  return step >= 0 && step % every == 0 && i < steps.size() ? &steps[i] : nullptr;
}

THAW_INLINE void History::thin() {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < steps.size(); i += 2) std::swap(steps[kept++], steps[i]);
  steps.resize(kept);
  every *= 2;
}

}  // namespace thaw

#endif
