// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <thaw/vision/geometry.hpp>
#include <thaw/vision/lighting.hpp>
#include <thaw/vision/transforms.hpp>

namespace thaw::vision {

/// How much aug_transforms changes; by default as much as fastai.
struct AugOptions {
  double mult = 1;             ///< of max_rotate, max_lighting and max_warp
  bool flip = true;            ///< left and right; where that makes another class, as with letters, set it to false
  bool flip_vertical = false;  ///< with `flip`: all eight ways to lay a square
  double max_rotate = 10;      ///< degrees
  double min_zoom = 1, max_zoom = 1.1;
  double max_lighting = 0.2;  ///< of brightness and of contrast
  double max_warp = 0.2;      ///< of perspective
  double p_affine = 0.75, p_lighting = 0.75;
  Beyond beyond = Beyond::mirrored;
};

/// The usual augmentation of photographs: flip, perspective, rotation, zoom (all in one interpolation), brightness,
/// contrast. Source: fastai's aug_transforms, the same defaults and distributions; drawn for each image alone.
[[nodiscard]] inline Transforms aug_transforms(const AugOptions& options = {}) {
  Transforms all;
  const AugOptions& o = options;
  if (o.flip && o.flip_vertical)
    all.add(Dihedral{.p = 0.5});
  else if (o.flip)
    all.add(Flip{.p = 0.5});
  if (o.max_warp * o.mult > 0)
    all.add(Perspective{.magnitude = o.max_warp * o.mult, .p = o.p_affine, .beyond = o.beyond});
  if (o.max_rotate * o.mult > 0)
    all.add(Rotate{.max_degrees = o.max_rotate * o.mult, .p = o.p_affine, .beyond = o.beyond});
  if (o.min_zoom < 1 || o.max_zoom > 1)
    all.add(Zoom{.min = o.min_zoom, .max = o.max_zoom, .p = o.p_affine, .beyond = o.beyond});
  if (o.max_lighting * o.mult > 0) {
    all.add(Brightness{.max_change = o.max_lighting * o.mult, .p = o.p_lighting});
    all.add(Contrast{.max_change = o.max_lighting * o.mult, .p = o.p_lighting});
  }
  return all;
}

}  // namespace thaw::vision
