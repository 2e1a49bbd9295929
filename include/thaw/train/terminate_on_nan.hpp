// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cmath>
#include <string>

#include <thaw/train/learner.hpp>

namespace thaw {

/// Ends the stage at the first loss that is not finite, before it is differentiated: the weights stay those of the
/// step before. Reads every batch's loss: waits for a device.
struct TerminateOnNaN {
  void on_loss_ready(const LossReady& event) const {
    const auto loss = event.loss.item<double>();
    if (!std::isfinite(loss)) event.learner.stop("the loss is " + detail::number(loss) + "; this step was not taken");
  }
};

}  // namespace thaw
