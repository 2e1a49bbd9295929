// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <vector>

namespace thaw {

/// What an LR finder saw: one entry per optimizer step, in order, all vectors of the same length unless said otherwise.
struct LRCurve {
  std::vector<double> lr = {};        ///< absolute rate of the last layer group in that step
  std::vector<double> loss = {};      ///< the loss of that step, as it came
  std::vector<double> smoothed = {};  ///< s_t = v_t / (1 - beta^t), v_t = beta v_{t-1} + (1 - beta) loss_t
  std::int64_t planned = 0;           ///< how many steps the sweep would have had
  bool stopped_early = false;         ///< the loss rose past `stop_factor` times its best, or was not finite

  /// Of a paired sweep, else empty: by how much the step changed the loss of its own batch, with the same random
  /// numbers (dropout). Differences between batches cancel in it.
  std::vector<double> change = {};

  /// The loss of samples that no step trained on, the same ones each time; empty where there were none. It is measured
  /// before the first step, which is the entry with a rate of 0, and after some of the steps, at those steps' rates.
  std::vector<double> held_out_lr = {}, held_out = {};

  std::vector<double> ratios = {};  ///< of each layer group's rate to `lr`; one group alone has 1, and the others 0
  std::int64_t before_step = -1;    ///< Learner: History::steps_done when it was measured; -1 in a loop of your own
};

}  // namespace thaw
