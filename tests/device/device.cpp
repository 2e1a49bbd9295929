// SPDX-License-Identifier: BSD-3-Clause
#include "device/device.hpp"

#include <cstdlib>
#include <string>

#include "device/accelerator.hpp"

namespace thaw::test {

namespace {

std::string wanted() {
  const char* const name = std::getenv("THAW_TEST_DEVICE");
  return name == nullptr ? "accelerator" : name;
}

const at::Device chosen = wanted() == "accelerator" ? accelerator::start() : at::Device(wanted());

}  // namespace

at::Device test_device() {
  return chosen;
}
bool is_simulated() {
  return chosen.is_privateuseone();
}

}  // namespace thaw::test
