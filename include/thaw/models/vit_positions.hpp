// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/_upsample_bicubic2d_aa.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/upsample_bicubic2d.h>
#include <c10/util/StringUtil.h>
#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <string>

#include <thaw/core/error.hpp>
#include <thaw/models/vit_block.hpp>

namespace thaw::models {

/// Position embeddings of a class token and n x n patches for a grid of `rows` x `columns` patches:
/// [1, 1 + n n, width] -> [1, 1 + rows columns, width]. The class token's stays as it is, and so does all where the
/// grid is n x n already; the others are interpolated bicubically, with gradient,
///
///     torchvision   with align_corners, not antialiased: as its `interpolate_embeddings`
///     timm          without align_corners, antialiased, at least in float32: as its `resample_abs_pos_embed`
///
/// Throws ConfigError for a tensor of another shape and for a grid without patches.
/// Source: torchvision 0.28, models/vision_transformer.py; timm 1.0.31, layers/pos_embed.py.
[[nodiscard]] inline at::Tensor resample_positions(const at::Tensor& positions, std::int64_t rows, std::int64_t columns,
                                                   VitNames names) {
  const std::int64_t patches = positions.dim() == 3 && positions.size(0) == 1 ? positions.size(1) - 1 : 0;
  const auto n = static_cast<std::int64_t>(std::llround(std::sqrt(static_cast<double>(patches))));
  if (patches < 1 || n * n != patches)
    throw ConfigError("resample_positions", "the position embeddings are " + c10::str(positions.sizes()),
                      "give [1, 1 + n n, width]: those of a class token and of a square of patches");
  if (rows < 1 || columns < 1)
    throw ConfigError("resample_positions", fmt::format("the grid is {} x {} patches", rows, columns),
                      "give an image of one patch or more");
  if (rows == n && columns == n) return positions;

  at::Tensor grid = positions.slice(1, 1).transpose(1, 2).unflatten(2, {n, n});
  if (names == VitNames::torchvision) {
    grid = at::upsample_bicubic2d(grid, {rows, columns}, /*align_corners=*/true);
  } else {
    if (grid.element_size() < 4) grid = grid.to(at::kFloat);
    grid = at::_upsample_bicubic2d_aa(grid, {rows, columns}, /*align_corners=*/false).to(positions.scalar_type());
  }
  return at::cat({positions.slice(1, 0, 1), grid.flatten(2).transpose(1, 2)}, 1);
}

}  // namespace thaw::models
