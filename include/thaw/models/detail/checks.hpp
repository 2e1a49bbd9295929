// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/StringUtil.h>
#include <fmt/format.h>

#include <cstdint>
#include <string>

#include <thaw/core/error.hpp>

namespace thaw::models::detail {

inline void require(const char* model, bool holds, const std::string& problem, const char* fix) {
  if (!holds) throw ConfigError(model, problem, fix);
}

/// What the options of every network have.
inline void check_ends(const char* model, std::int64_t classes, std::int64_t in_channels) {
  require(model, classes >= 1, fmt::format("classes is {}", classes), "give the number of classes, 1 or more");
  require(model, in_channels >= 1, fmt::format("in_channels is {}", in_channels), "3 for RGB, 1 for grey");
}

inline void check_probability(const char* model, const char* name, double p) {
  require(model, p >= 0 && p < 1, fmt::format("{} is {}", name, p), "give a probability in [0, 1)");
}

inline void check_norm(const char* model, double eps, double momentum) {
  require(model, momentum >= 0 && momentum <= 1 && eps > 0, fmt::format("bn_momentum is {}, bn_eps {}", momentum, eps),
          "give a momentum in [0, 1] (PyTorch's, which is 1 - TensorFlow's) and a positive epsilon");
}

/// Images [N, channels, H, W] of `least` pixels or more.
inline void check_images(const std::string& model, const at::Tensor& x, std::int64_t channels, std::int64_t least = 1) {
  if (x.dim() == 4 && x.size(1) == channels && x.size(2) >= least && x.size(3) >= least) return;
  throw DataError(
      model + "::features", "the images are " + c10::str(x.sizes()),
      fmt::format("give [N, {}, H, W]{}", channels, least > 1 ? fmt::format(" of {} pixels or more", least) : ""));
}

}  // namespace thaw::models::detail
