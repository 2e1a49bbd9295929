#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

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
  std::int64_t steps_done = 0;           ///< how many of History::steps there were when it ended
  double train_loss = 0;                 ///< mean over the epoch's samples, as they were trained on
  std::optional<Evaluation> valid = {};  ///< none where there is no validation data
  double seconds = 0;                    ///< wall time, validation included
  std::string stop = {};                 ///< why the stage ended with this epoch; empty where nothing stopped it
};

/// One stage: which steps were its own, and which groups it trained.
struct StageRecord {
  std::string name = {};
  std::int64_t first_step = 0;  ///< index into History::steps
  std::int64_t steps = 0;
  std::vector<bool> frozen = {};  ///< per layer group, as the stage began
  std::string frozen_part = {};   ///< how it ran: compiled, kept (Stage::cache), or why not; empty where not asked for
};

/// All that a Learner trained so far, oldest first; it grows with every fit.
struct History {
  std::vector<std::string> groups = {};  ///< names of the layer groups
  std::vector<StepRecord> steps = {};
  std::vector<EpochRecord> epochs = {};
  std::vector<StageRecord> stages = {};
};

}  // namespace thaw
