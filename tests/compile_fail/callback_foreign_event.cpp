// SPDX-License-Identifier: BSD-3-Clause
// expect: thaw: a callback has no event on_batch_end; thaw's name for it is on_step_end
#include <thaw/train/callback.hpp>

struct FromKeras {
  void on_epoch_end(const thaw::EpochEnd&) {}
  void on_batch_end(const thaw::StepEnd&) {}
};

thaw::Callback callback = FromKeras{};
