// SPDX-License-Identifier: BSD-3-Clause
// expect: thaw: a callback's on_epoch_end must take .const thaw::EpochEnd&.
#include <thaw/train/callback.hpp>

struct WrongEvent {
  void on_epoch_end(const thaw::StepEnd&) {}
  void on_stage_end(const thaw::StageEnd&) {}
};

thaw::Callback callback = WrongEvent{};
