// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <unordered_set>
#include <vector>

#include <fmt/format.h>

#include <thaw/groups/layer_groups.hpp>
#include <thaw/groups/norm_momentum.hpp>

namespace thaw::detail {

/// Throws ConfigError where norm layers train whose statistics cannot be measured anew: that takes their momentum.
inline void check_norms_can_be_measured(const LayerGroups& groups, const std::string& where) {
  std::unordered_set<const torch::nn::Module*> training;
  for (std::size_t i = 0; i < groups.size(); ++i)
    if (groups.norm_of(i) != Norm::hold)
      for (const auto& layer : groups[i].norms) training.insert(layer.get());
  refuse_script_norms(*groups.module(), where, [&](const torch::nn::Module& module, const ScriptLayer& layer) {
    return layer.moves_statistics() && training.contains(&module);
  });
}

/// What looks wrong about the norm layers for a stage of so many steps: statistics that move too slowly to keep up
/// with the weights, and statistics that are held though they were never learnt. Reads buffers: waits for a device.
inline std::vector<std::string> norm_notes(const LayerGroups& groups, const std::vector<bool>& frozen, NormRule norm,
                                           std::int64_t steps) {
  std::vector<std::string> notes;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const bool held = norm.of(frozen[i]) == Norm::hold;
    std::size_t slow = 0, untaught = 0;
    double slowest = 1;
    for (const auto& layer : groups[i].norms) {
      const auto buffers = layer->named_buffers(/*recurse=*/false);
      if (held) {
        const at::Tensor& mean = *buffers.find("running_mean");
        const at::Tensor* variance = buffers.find("running_var");
        if (mean.equal(at::zeros_like(mean)) && (!variance || variance->equal(at::ones_like(*variance)))) ++untaught;
      } else if (const std::optional<double> momentum = norm_momentum(*layer);
                 momentum && std::pow(1 - *momentum, static_cast<double>(steps)) > 0.1) {
        ++slow;
        slowest = std::min(slowest, *momentum);
      }
    }
    const auto count = [](std::size_t n) { return std::to_string(n) + (n == 1 ? " norm layer" : " norm layers"); };
    if (untaught > 0)
      notes.push_back("group \"" + groups[i].name + "\": " + count(untaught) +
                      " held at statistics that were never learnt (mean 0, variance 1); train this group's norm first, "
                      "with Norm::train");
    if (slow > 0) {
      const std::string left =
          fmt::format("{:g} keeps {:.0f} %", slowest, 100 * std::pow(1 - slowest, static_cast<double>(steps)));
      notes.push_back("group \"" + groups[i].name + "\": " + count(slow) + " whose momentum of " + left +
                      " of the old statistics after " + std::to_string(steps) +
                      " steps, while the weights move on; hold norm (thaw::hold_everywhere), or raise the momentum "
                      "(thaw::set_norm_momentum)");
    }
  }
  return notes;
}

}  // namespace thaw::detail
