// SPDX-License-Identifier: BSD-3-Clause
// Graphs of the simulated accelerator: LibTorch has an interface to capture them since 2.13 or so.

#include "device/accelerator_state.hpp"

#if __has_include(<ATen/core/GraphImplInterface.h>)
#include <ATen/core/GraphImplInterface.h>
#endif

namespace thaw::test::accelerator {

#if __has_include(<ATen/core/GraphImplInterface.h>)

namespace {

class Graph final : public at::GraphImplInterface {
 public:
  explicit Graph(const at::GraphImplArgs&) {}
  ~Graph() override { reset(); }

  void capture_begin(at::MempoolId_t, at::GraphCaptureMode) override {
    const std::scoped_lock lock(state().mutex);
    TORCH_CHECK(current_stream() != 0, "graphs must be captured on a non-default stream");
    TORCH_CHECK(!graph_ && !capture(), "a capture is under way, or this graph holds one: reset() it first");
    const Stream& stream = state().streams[current_stream()];
    carry_out(current_stream(), stream.now, /*host_waits=*/false);
    origin_ = current_stream();
    random_ = random().get_state();
    capture() = graph_ = std::make_shared<Capture>();
    state().graphs.push_back(graph_);
  }

  /// Nothing was done: memory is as it was, and what was allocated holds nothing yet.
  void capture_end() override {
    const std::scoped_lock lock(state().mutex);
    TORCH_CHECK(graph_ && capture() == graph_, "no capture is under way on this stream");
    for (auto& [id, stream] : state().streams) {
      if (stream.capture != graph_) continue;
      stream.capture = nullptr;
      TORCH_CHECK(id == origin_ || state().streams[origin_].after[id] >= stream.now,
                  "capturing stream has unjoined work: stream ", id);
    }
    for (const auto& [block, bytes] : graph_->before) std::ranges::copy(bytes, static_cast<std::byte*>(block->bytes));
    for (const auto& block : graph_->pool) std::memset(block->bytes, 0xFF, block->size);
    graph_->before.clear();
    random().set_state(random_);
  }

  void instantiate() override {}

  void replay() override {
    const std::scoped_lock lock(state().mutex);
    TORCH_CHECK(graph_ && state().streams[origin_].capture != graph_, "there is no graph to replay");
    for (const Capture::Step& step : graph_->steps) {
      Blocks blocks;
      for (const auto& each : step.blocks) {
        blocks.push_back(each.lock());
        TORCH_CHECK(blocks.back(), "a graph is replayed whose memory was freed: ", step.name);
      }
      begin(step.name, blocks, {});
      step.run();
    }
  }

  void reset() override {
    const std::scoped_lock lock(state().mutex);
    for (auto& [id, stream] : state().streams)
      if (graph_ && stream.capture == graph_) stream.capture = nullptr;
    graph_ = nullptr;
  }

  at::MempoolId_t pool() const override { return {1, 0}; }
  void enable_debug_mode() override {}
  void debug_dump(const std::string&) override {}

 private:
  std::shared_ptr<Capture> graph_;
  c10::StreamId origin_ = 0;
  at::Tensor random_;
};

}  // namespace

void register_graphs() {
  at::GraphImplRegistry()->Register(
      c10::DeviceTypeName(c10::DeviceType::PrivateUse1),
      +[](const at::GraphImplArgs& args) -> std::unique_ptr<at::GraphImplInterface> {
        return std::make_unique<Graph>(args);
      });
}

#else

void register_graphs() {}

#endif

}  // namespace thaw::test::accelerator
