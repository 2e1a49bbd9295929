// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <thaw/models/resnet.hpp>
#include <thaw/models/unet.hpp>

#include "models/parity.hpp"

// The U-Nets of make_unet_fixture.py.
namespace thaw::test {

/// Over a ResNet-18.
inline models::UNet dynamic_unet(const nlohmann::json& expected) {
  return models::unet(models::resnet18(),
                      {.classes = 4, .blur = expected["blur"], .last_cross = expected["last_cross"]});
}

inline Parity measure_unet(const models::UNet& net, const nlohmann::json& expected) {
  const auto forward = [](models::UNet& unet, at::ScalarType type) {
    const std::int64_t height = type == at::kFloat ? 41 : 64;  // in eval mode an odd one
    return unet(wave({1, 3, height, 64}, 0.37).to(type));
  };
  return measure(net, expected, forward, digest_error);
}

}  // namespace thaw::test
