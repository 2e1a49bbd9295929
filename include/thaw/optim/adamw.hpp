#pragma once

#include <torch/optim/adamw.h>

#include <cstddef>

#include <thaw/groups/optimizer_groups.hpp>

namespace thaw {

/// LibTorch's AdamW over layer groups: `thaw::AdamW optimizer{groups};`
///
/// Weight decay is decoupled, p *= 1 - lr * weight_decay, and leaves biases and norm layers alone. Defaults are
/// fastai's: betas (0.9, 0.99), eps 1e-5, weight decay 0.01. Options, state and serialisation are
/// torch::optim::AdamW's.
class AdamW : public torch::optim::AdamW {
 public:
  [[nodiscard]] static torch::optim::AdamWOptions fastai_defaults() {
    return torch::optim::AdamWOptions(1e-3).betas({0.9, 0.99}).eps(1e-5).weight_decay(0.01);
  }

  explicit AdamW(const LayerGroups& groups, const torch::optim::AdamWOptions& options = fastai_defaults())
      : torch::optim::AdamW(thaw::param_groups(groups), options) {
    std::size_t i = 0;
    for (const LayerGroup& group : groups)
      for (const bool decays : {true, false})
        if (std::ranges::any_of(group.parameters, [&](const auto& p) { return p.decays == decays; })) {
          auto& live = static_cast<torch::optim::AdamWOptions&>(param_groups()[i++].options());
          live.weight_decay(decays ? options.weight_decay() : 0);
        }
  }
};

}  // namespace thaw
