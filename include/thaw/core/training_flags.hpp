// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <utility>
#include <vector>

namespace thaw {

/// Remembers which modules are in training mode, and puts it back when it goes out of scope.
class TrainingFlags {
 public:
  explicit TrainingFlags(const torch::nn::Module& module) {
    for (const auto& m : module.modules()) modules_.emplace_back(m, m->is_training());
  }
  ~TrainingFlags() {
    for (const auto& [module, training] : modules_) module->train(training);  // parents first: train() goes down
  }
  TrainingFlags(const TrainingFlags&) = delete;
  TrainingFlags& operator=(const TrainingFlags&) = delete;

 private:
  std::vector<std::pair<std::shared_ptr<torch::nn::Module>, bool>> modules_;
};

}  // namespace thaw
