// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#if __has_include(<ATen/core/GraphImplInterface.h>)
#include <ATen/core/GraphImplInterface.h>
#define THAW_HAS_GRAPH_REGISTRY 1  // NOLINT(cppcoreguidelines-macro-usage): for #if
#endif
#if __has_include(<c10/cuda/impl/cuda_cmake_macros.h>) && __has_include(<cuda_runtime_api.h>)  // LibTorch has CUDA
#include <ATen/cuda/CUDAGraph.h>
#define THAW_HAS_CUDA_GRAPHS 1  // NOLINT(cppcoreguidelines-macro-usage): for #if
#endif

#include <exception>
#include <memory>

#include <thaw/core/error.hpp>

namespace thaw::detail {

/// Work of a device, captured once and done again by one call: a CUDA graph, or what other devices have of that kind.
class DeviceGraph {
 public:
  /// Throws ConfigError for a device that has none, or in a LibTorch that cannot capture there.
  explicit DeviceGraph(const at::Device& device)
      : device_(device),
        impl_(make(device)),
        stream_(c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device)) {}

  /// Does work on the stream that captures, between what the current one has done and is to do.
  template <class Work>
  void beside(const Work& work) const {
    const c10::Stream current = c10::impl::VirtualGuardImpl(device_.type()).getStream(device_);
    const auto waits = [this](const c10::Stream& stream, const c10::Stream& for_other) {
      c10::Event reached(device_.type());
      reached.record(for_other);
      reached.block(stream);
    };
    waits(stream_, current);
    ended(
        [&] {
          const c10::StreamGuard on_it(stream_);
          work();
        },
        [&] { waits(current, stream_); });
  }

  /// Captures what `work` has the device do; none of it is done. Memory that it allocates stays its own. What fails in
  /// it, it throws.
  template <class Work>
  void capture(const Work& work) {
    beside([&] {
      impl_->begin();
      ended(work, [&] { impl_->end(); });
    });
  }

  /// Queues it on the current stream.
  void replay() { impl_->replay(); }

 private:
  struct Impl {
    Impl() = default;
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;
    virtual ~Impl() = default;
    virtual void begin() = 0;
    virtual void end() = 0;
    virtual void replay() = 0;
  };

  // Captured by the thread that asks for it: others, which prepare batches, may allocate meanwhile.
#ifdef THAW_HAS_CUDA_GRAPHS
  struct Cuda final : Impl {
    void begin() override { graph.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal); }
    void end() override { graph.capture_end(); }
    void replay() override { graph.replay(); }
    at::cuda::CUDAGraph graph;
  };
#endif
#ifdef THAW_HAS_GRAPH_REGISTRY
  struct Registered final : Impl {
    explicit Registered(at::DeviceType type) : graph(at::create_graph_impl(type)) {}
    void begin() override { graph->capture_begin({0, 0}, at::GraphCaptureMode::ThreadLocal); }
    void end() override { graph->capture_end(); }
    void replay() override { graph->replay(); }
    std::unique_ptr<at::GraphImplInterface> graph;
  };
#endif

  /// Where the work fails, what `end` has to say counts for nothing.
  template <class Work, class End>
  static void ended(const Work& work, const End& end) {
    try {
      work();
    } catch (...) {
      const std::exception_ptr failed = std::current_exception();
      try {
        end();
      } catch (...) {  // NOLINT(bugprone-empty-catch): it fails because that did
      }
      std::rethrow_exception(failed);
    }
    end();
  }

  [[nodiscard]] static std::unique_ptr<Impl> make(const at::Device& device) {
#ifdef THAW_HAS_CUDA_GRAPHS
    if (device.is_cuda()) return std::make_unique<Cuda>();
#endif
#ifdef THAW_HAS_GRAPH_REGISTRY
    if (at::has_graph_impl(device.type())) return std::make_unique<Registered>(device.type());
#endif
    throw ConfigError("LearnerOptions::cuda_graphs", "work of " + device.str() + " cannot be captured",
                      "leave it off, or train on a CUDA device by a LibTorch that was built for CUDA");
  }

  at::Device device_;
  std::unique_ptr<Impl> impl_;
  c10::Stream stream_;
};

}  // namespace thaw::detail
