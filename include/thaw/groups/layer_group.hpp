// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/groups/norm_rule.hpp>

namespace thaw {

/// A parameter of a layer group. Tensors are LibTorch's own handles: they survive `to(device)` and `to(dtype)`.
struct GroupParameter {
  std::string name;  ///< as in the module's state dict
  at::Tensor tensor;
  bool of_norm = false;  ///< belongs to a normalisation layer with running statistics
  /// Whether weight decay acts on it: on weight matrices and kernels; not on biases, norm layers of any kind, vectors,
  /// tokens, position embeddings, scales (timm's rule). LayerGroups::with_decay and without_decay say otherwise.
  bool decays = true;
  bool trainable = true;  ///< false: did not require a gradient when the groups were made, so it never trains

  /// Whether it gets gradients when its group is frozen or not.
  [[nodiscard]] bool trains(bool frozen, NormRule norm) const {
    return trainable && (!frozen || (of_norm && norm.frozen == Norm::train));
  }
};

/// Consecutive modules of a network that are frozen and thawed, and that learn, together.
struct LayerGroup {
  std::string name;                        ///< of its first module, or the one that it was given
  std::vector<GroupParameter> parameters;  ///< each shared tensor once, in the first group that has it
  std::vector<std::pair<std::string, at::Tensor>> buffers;
  std::vector<std::shared_ptr<torch::nn::Module>> norms;  ///< layers that keep running statistics

  /// How many numbers its parameters hold.
  [[nodiscard]] std::int64_t numel() const;
};

}  // namespace thaw

#if THAW_DEFINES(groups)

namespace thaw {

THAW_INLINE std::int64_t LayerGroup::numel() const {
  std::int64_t sum = 0;
  for (const GroupParameter& parameter : parameters) sum += parameter.tensor.numel();
  return sum;
}

}  // namespace thaw

#endif
