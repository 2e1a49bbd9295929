// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/InferenceMode.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/forward_part.hpp>
#include <thaw/core/names.hpp>
#include <thaw/core/random_state.hpp>
#include <thaw/find/snapshot.hpp>
#include <thaw/train/frozen_split.hpp>

namespace thaw::vision::detail {

/// While it lives, a model is in evaluation mode and gradients are computed, whatever mode the caller is in; then modes
/// and random generators are as they were.
class Look {
 public:
  explicit Look(torch::nn::Module& module) : flags_(module) { module.eval(); }

 private:
  const RandomState random_;
  const TrainingFlags flags_;
  const c10::InferenceMode no_inference_{false};
};

/// The device and type of a model's weights.
[[nodiscard]] inline at::TensorOptions like_weights(const torch::nn::Module& module) {
  for (const at::Tensor& parameter : module.parameters())
    if (parameter.is_floating_point()) return parameter.options();
  return {};
}

/// A model cut behind the part of that name.
[[nodiscard]] inline FrozenSplit split_behind(const std::string& where, std::vector<ForwardPart> parts,
                                              const std::string& name) {
  const auto found = std::ranges::find(parts, name, &ForwardPart::name);
  if (found == parts.end()) {
    std::vector<std::string> names;
    names.reserve(parts.size());
    for (const ForwardPart& part : parts) names.push_back(part.name);
    throw ConfigError(where, "the model has no part \"" + name + "\"",
                      "did you mean \"" + nearest_name(name, names) + "\"? Its parts are: " + join_names(names, 40));
  }
  FrozenSplit split;
  split.prefix.assign(parts.begin(), found + 1);
  split.suffix.assign(found + 1, parts.end());
  return split;
}

using ToMaps = std::function<at::Tensor(const at::Tensor&)>;

/// The maps [N, C, h, w] that a part gives: of several tensors the last, by `to_maps` where it is given.
[[nodiscard]] inline at::Tensor maps_of(const std::string& where, const std::string& part, const at::Tensor& given,
                                        const ToMaps& to_maps) {
  at::Tensor maps = to_maps ? to_maps(given) : given;
  if (maps.dim() != 4)
    throw ConfigError(where, "part \"" + part + "\" gives a tensor of " + std::to_string(maps.dim()) + " dimensions",
                      "name a part that gives maps [N, channels, h, w], or say by to_maps how to make them of it");
  return maps;
}

}  // namespace thaw::vision::detail
