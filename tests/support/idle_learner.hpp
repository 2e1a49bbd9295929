// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/nn/modules/linear.h>

#include <memory>
#include <thaw/train/learner.hpp>
#include <thaw/train/loss.hpp>

namespace thaw::test {

/// A Learner without data, for events that need one.
inline std::shared_ptr<Learner> idle_learner() {
  const torch::nn::Linear model(1, 1);
  return std::make_shared<Learner>(model, LayerGroups::cut_before(model, {}), cross_entropy, LearnerOptions{});
}

}  // namespace thaw::test
