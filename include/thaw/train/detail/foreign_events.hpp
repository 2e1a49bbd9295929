// SPDX-License-Identifier: BSD-3-Clause
#pragma once

namespace thaw::detail {

/// C++ cannot list a class's members, so a handler under a name that means nothing to thaw would never be called, in
/// silence. These are the names that other libraries taught people, and likely slips: each is a compile error that says
/// the right one.
template <class C>
constexpr void check_foreign_events() {
#define THAW_FOREIGN(wrong, right) \
  static_assert(!requires { &C::wrong; }, "thaw: a callback has no event " #wrong "; thaw's name for it is " #right)
  THAW_FOREIGN(on_batch_end, on_step_end);
  THAW_FOREIGN(on_batch_begin, on_batch_ready);
  THAW_FOREIGN(on_batch_start, on_batch_ready);
  THAW_FOREIGN(on_train_batch_start, on_batch_ready);
  THAW_FOREIGN(on_train_batch_end, on_step_end);
  THAW_FOREIGN(on_train_begin, on_stage_begin);
  THAW_FOREIGN(on_train_start, on_stage_begin);
  THAW_FOREIGN(on_train_end, on_stage_end);
  THAW_FOREIGN(on_fit_start, on_fit_begin);
  THAW_FOREIGN(on_train_epoch_start, on_epoch_begin);
  THAW_FOREIGN(on_train_epoch_end, on_epoch_trained);
  THAW_FOREIGN(on_validation_end, on_epoch_end);
  THAW_FOREIGN(on_epoch_start, on_epoch_begin);
  THAW_FOREIGN(on_epoch_ends, on_epoch_end);
  THAW_FOREIGN(on_epoch_ended, on_epoch_end);
  THAW_FOREIGN(on_end_epoch, on_epoch_end);
  THAW_FOREIGN(on_begin_epoch, on_epoch_begin);
  THAW_FOREIGN(on_step_begin, on_batch_ready);
  THAW_FOREIGN(on_step, on_step_end);
  THAW_FOREIGN(on_epoch, on_epoch_end);
  THAW_FOREIGN(on_stage_start, on_stage_begin);
  THAW_FOREIGN(on_loss, on_loss_ready);
  THAW_FOREIGN(on_after_backward, on_gradients_ready);
  THAW_FOREIGN(on_before_optimizer_step, on_gradients_ready);
  THAW_FOREIGN(on_save_checkpoint, on_run_state);
  THAW_FOREIGN(on_load_checkpoint, on_run_state);
  THAW_FOREIGN(on_checkpoint, on_run_state);
  THAW_FOREIGN(state_dict, on_run_state);
  THAW_FOREIGN(load_state_dict, on_run_state);
  THAW_FOREIGN(before_fit, on_fit_begin);
  THAW_FOREIGN(before_epoch, on_epoch_begin);
  THAW_FOREIGN(before_batch, on_batch_ready);
  THAW_FOREIGN(after_loss, on_loss_ready);
  THAW_FOREIGN(after_backward, on_gradients_ready);
  THAW_FOREIGN(before_step, on_gradients_ready);
  THAW_FOREIGN(after_step, on_step_end);
  THAW_FOREIGN(after_batch, on_step_end);
  THAW_FOREIGN(after_epoch, on_epoch_end);
  THAW_FOREIGN(after_fit, on_stage_end);
#undef THAW_FOREIGN
}

}  // namespace thaw::detail
