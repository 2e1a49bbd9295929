// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/thaw.hpp>

namespace {
struct StepCounter {
  int* steps;
  void on_step_end(const thaw::StepEnd&) { ++*steps; }
};
}  // namespace

thaw::Callback count_steps(int& steps) { return StepCounter{&steps}; }
