// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <optional>

namespace thaw::detail {

/// A number of a device on its way to the host, who may do other things before it reads: `read` waits for what was
/// queued before the number was sent, not for what was queued since.
class AsyncScalar {
 public:
  /// `value`: one float.
  void send(const at::Tensor& value) {
    if (value.is_cpu()) {
      here_ = value;
    } else {
      if (!here_.defined()) here_ = at::empty({1}, at::TensorOptions().dtype(at::kFloat).pinned_memory(true));
      here_.copy_(value, /*non_blocking=*/true);
      arrived_.emplace(value.device().type());
      arrived_->record(c10::impl::VirtualGuardImpl(value.device().type()).getStream(value.device()));
    }
    sent_ = true;
  }

  [[nodiscard]] bool sent() const { return sent_; }
  /// Once for each `send`.
  [[nodiscard]] float read() {
    if (arrived_) arrived_->synchronize();
    sent_ = false;
    return *here_.const_data_ptr<float>();
  }

 private:
  at::Tensor here_;
  std::optional<c10::Event> arrived_;
  bool sent_ = false;
};

}  // namespace thaw::detail
