// SPDX-License-Identifier: BSD-3-Clause
// expect: thaw: a callback needs at least one of on_stage_begin, on_step_end, on_epoch_end, on_stage_end
#include <thaw/train/callback.hpp>

struct Misspelled {
  void on_epoch_ends(const thaw::EpochEnd&) {}
};

thaw::Callback callback = Misspelled{};
