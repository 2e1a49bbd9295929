// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

#include <thaw/models/vit.hpp>

namespace thaw::models {

namespace detail {

inline VisionTransformer deit(VitOptions options, std::int64_t width) {
  options.patch_size = 16;
  options.width = width;
  options.depth = 12;
  options.heads = width / 64;
  options.mlp_width = 4 * width;
  options.names = VitNames::timm;
  return VisionTransformer(options);
}

}  // namespace detail

/// timm's data-efficient image transformers (arXiv:2012.12877) of these names, not distilled, with random weights: 5.7
/// and 22.1 million parameters for 1,000 classes. Each sets `patch_size`, `width`, `depth`, `heads`, `mlp_width` and
/// `names` of its options. Facebook's published files have the same names. The paper trains with `.drop_path = 0.1`.
/// Example: `auto model = thaw::models::deit_tiny_patch16_224({.classes = 10});`
[[nodiscard]] inline VisionTransformer deit_tiny_patch16_224(const VitOptions& options = {}) {
  return detail::deit(options, 192);
}
[[nodiscard]] inline VisionTransformer deit_small_patch16_224(const VitOptions& options = {}) {
  return detail::deit(options, 384);
}

}  // namespace thaw::models
