// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/schedule/detail/check.hpp>
#include <thaw/schedule/progress.hpp>

namespace thaw {

/// The rate is multiplied by `gamma` after every `every_epochs` epochs: gamma^floor(epoch / every_epochs). Units:
/// multipliers of the peak rate, epochs of the stage. Equals `torch.optim.lr_scheduler.StepLR`, stepped after every
/// epoch; the defaults are those of PyTorch's transfer-learning tutorial.
struct StepDecay {
  std::int64_t every_epochs = 7;
  double gamma = 0.1;

  [[nodiscard]] double operator()(const Progress& at) const {
    const std::int64_t drops = at.epoch() / every_epochs;  // whole ones
    return std::pow(gamma, static_cast<double>(drops));
  }

  void check() const {
    if (every_epochs < 1)
      throw ConfigError("StepDecay", "every_epochs is " + std::to_string(every_epochs), "give at least 1 epoch");
    detail::check_factor("StepDecay", "gamma", gamma);
  }
};

/// The rate is multiplied by `gamma` when each of `epochs` begins; epochs count from 0. Units: multipliers of the peak
/// rate, epochs of the stage. Equals `torch.optim.lr_scheduler.MultiStepLR`, stepped after every epoch.
struct MultiStep {
  std::vector<std::int64_t> epochs = {};  ///< ascending, from 1
  double gamma = 0.1;

  [[nodiscard]] double operator()(const Progress& at) const {
    return std::pow(gamma, static_cast<double>(std::ranges::upper_bound(epochs, at.epoch()) - epochs.begin()));
  }

  void check() const {
    if (epochs.empty())
      throw ConfigError("MultiStep", "there are no epochs",
                        "list those before which the rate drops, or take Constant{}");
    if (epochs.front() < 1 || std::ranges::adjacent_find(epochs, std::greater_equal{}) != epochs.end())
      throw ConfigError("MultiStep", "the epochs do not ascend from 1", "list each once, in order; they count from 0");
    detail::check_factor("MultiStep", "gamma", gamma);
  }
};

}  // namespace thaw
