// SPDX-License-Identifier: BSD-3-Clause
#include "device/accelerator_collectives.hpp"

#include <torch/csrc/distributed/c10d/Backend.hpp>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "device/accelerator.hpp"
#include "device/accelerator_state.hpp"

namespace thaw::test::accelerator {

namespace {

using Tensors = std::vector<at::Tensor>;
using Result = c10::intrusive_ptr<c10d::Work>;

/// Work that is done.
struct Done final : c10d::Work {
  explicit Done(const Tensors& result)
      : future(c10::make_intrusive<c10::ivalue::Future>(c10::ListType::ofTensors(),
                                                        std::vector<c10::Device>{accelerator::device()})) {
    future->markCompleted(c10::IValue(result));
  }
  bool isCompleted() override { return true; }
  bool isSuccess() const override { return true; }
  bool wait(std::chrono::milliseconds) override { return true; }
  c10::intrusive_ptr<c10::ivalue::Future> getFuture() override { return future; }

  c10::intrusive_ptr<c10::ivalue::Future> future;
};

struct ThroughHost final : c10d::Backend {
  explicit ThroughHost(c10::intrusive_ptr<c10d::Backend> host_)
      : Backend(host_->getRank(), host_->getSize()), host(std::move(host_)) {}
  const std::string getBackendName() const override { return "through the host"; }  // NOLINT: as c10d has it

  Result allreduce(Tensors& tensors, const c10d::AllreduceOptions& options) override {
    return through(tensors, [&](Tensors& each) { return host->allreduce(each, options); });
  }
  Result broadcast(Tensors& tensors, const c10d::BroadcastOptions& options) override {
    return through(tensors, [&](Tensors& each) { return host->broadcast(each, options); });
  }
  Result allgather(std::vector<Tensors>& from_all, Tensors& own, const c10d::AllgatherOptions& options) override {
    return through(from_all[0], [&](Tensors& each) {
      std::vector<Tensors> to{each};
      Tensors from{own[0].cpu()};
      return host->allgather(to, from, options);
    });
  }

  template <class Call>
  Result through(Tensors& tensors, const Call& call) {
    const NotCounted on_the_device;
    Tensors copies;
    for (const at::Tensor& each : tensors) copies.push_back(each.cpu());
    call(copies)->wait();
    for (std::size_t i = 0; i < tensors.size(); ++i) tensors[i].copy_(copies[i]);
    return c10::make_intrusive<Done>(tensors);
  }

  c10::intrusive_ptr<c10d::Backend> host;
};

}  // namespace

void add_collectives(c10d::ProcessGroup& group) {
  const auto through_host = c10::make_intrusive<ThroughHost>(group.getBackend(c10::DeviceType::CPU));
  group.setBackend(c10::DeviceType::PrivateUse1, c10d::ProcessGroup::BackendType::CUSTOM, through_host);
}

}  // namespace thaw::test::accelerator
