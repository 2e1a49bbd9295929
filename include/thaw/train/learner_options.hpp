// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/optim/optimizer.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include <thaw/data/source.hpp>
#include <thaw/groups/layer_groups.hpp>
#include <thaw/train/callback.hpp>
#include <thaw/train/frozen_split.hpp>
#include <thaw/train/metric.hpp>
#include <thaw/train/precision.hpp>
#include <thaw/train/world.hpp>

namespace thaw {

/// What a Learner trains on and validates with.
struct LearnerData {
  DataSource train = {};
  DataSource valid = {};  ///< may be left out
};

struct LearnerOptions {
  DataSource train = {};
  DataSource valid = {};                 ///< may be left out
  std::vector<Metric> metrics = {};      ///< of the validation data
  std::vector<Callback> callbacks = {};  ///< of every stage, before those given to fit
  /// Makes the optimizer, over thaw::param_groups(groups) or the like. Default: thaw::AdamW{groups}.
  std::function<std::unique_ptr<torch::optim::Optimizer>(const LayerGroups&)> optimizer = {};
  /// How the leading parts of the model run in stages in which they are frozen and held: CompiledPrefix::make. Empty:
  /// as all the rest. Needs a model that can be run in parts (SplitForward).
  MakeFrozenForward frozen_prefix = {};
  /// How training steps that run the whole model run its parts: thaw::Recompute keeps no activations within them.
  /// Empty: by the model's own `forward`. Needs a model that can be run in parts (SplitForward).
  RunParts run_parts = {};
  Layout layout = Layout::automatic;      ///< of images and of the weights of convolutions in memory
  Precision precision = Precision::full;  ///< of the forward pass; what the CPU cannot do fast is refused
  /// Captures forward and backward pass, as often as what is frozen changes, and replays them: for steps so short that
  /// the host cannot queue them fast enough. Batches of other shapes than the first, the last of an epoch say, run as
  /// ever. The model must do the same on the device each time, and no callback may hear of losses before a step ends.
  bool cuda_graphs = false;
  World world = {};                 ///< the processes that train together; each gets a shard of every batch
  std::size_t max_recorded_steps = 65'536;  ///< that the history keeps; see History
};

}  // namespace thaw
