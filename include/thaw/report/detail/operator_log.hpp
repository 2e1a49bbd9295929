// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>
#include <ATen/record_function.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>

namespace thaw::detail {

/// An operator that a program called, with all that it called itself.
struct CalledOperator {
  std::string name = {};                              ///< "conv2d"
  std::vector<at::Tensor> inputs = {}, outputs = {};  ///< those of lists too
  std::int64_t multiply_adds = 0;
};

/// Tells of each operator of LibTorch that this thread calls while it lives, in the order in which they end; of those
/// that an operator calls itself, no more than how many multiply-adds they have.
class OperatorLog {
 public:
  explicit OperatorLog(std::function<void(const CalledOperator&)> tell);
  ~OperatorLog();
  OperatorLog(const OperatorLog&) = delete;
  OperatorLog& operator=(const OperatorLog&) = delete;

 private:
  struct Frame {
    CalledOperator called;
    std::vector<c10::IValue> arguments;  // of what is counted
    bool counts;                         // its multiply-adds, so that what it calls does not
  };

  static OperatorLog*& current();
  void begin(const at::RecordFunction& f);
  void end(const at::RecordFunction& f);

  std::function<void(const CalledOperator&)> tell_;
  std::vector<Frame> frames_;
  at::RecordFunctionGuard enabled_;
  at::CallbackHandle handle_;
};

}  // namespace thaw::detail

#if THAW_DEFINES(report)

namespace thaw::detail {

// RecordFunction::inputs() asserts that a flag is set, in a program that is built without NDEBUG; LibTorch, which is
// built with it, has no such flag. An explicit instantiation may name the private member that it returns.
[[nodiscard]] c10::ArrayRef<const c10::IValue> inputs_of(const at::RecordFunction& f);
template <c10::ArrayRef<const c10::IValue> at::RecordFunction::*Inputs>
struct InputsOf {
  friend c10::ArrayRef<const c10::IValue> inputs_of(const at::RecordFunction& f) { return f.*Inputs; }
};
template struct InputsOf<&at::RecordFunction::inputs_>;

/// Products that are added up, of which operators are made that have parameters: convolutions, matrix products,
/// attention, recurrent layers of oneDNN; -1 for any other operator. `in`: its arguments.
[[nodiscard]] THAW_INLINE std::int64_t multiply_adds(std::string_view name, const std::vector<c10::IValue>& in,
                                                     const at::Tensor& out) {
  const auto tensor = [&](std::size_t i) -> const at::Tensor& { return in.at(i).toTensor(); };
  const auto product = [&](std::size_t a) { return out.numel() * tensor(a).size(-1); };
  if (name == "convolution") {
    const at::Tensor& weight = tensor(1);
    const bool transposed = in.at(6).toBool();
    return (transposed ? tensor(0) : out).numel() * (weight.numel() / weight.size(0));
  }
  if (name == "linear" || name == "mm" || name == "bmm" || name == "mv" || name == "dot") return product(0);
  if (name == "addmm" || name == "baddbmm" || name == "addmv") return product(1);
  if (name == "scaled_dot_product_attention") {
    const at::Tensor &q = tensor(0), &k = tensor(1), &v = tensor(2);
    return q.numel() / q.size(-1) * k.size(-2) * (q.size(-1) + v.size(-1));
  }
  if (name == "mkldnn_rnn_layer")  // for each step of each sequence [steps, N, width]
    return tensor(0).size(0) * tensor(0).size(1) * (tensor(1).numel() + tensor(2).numel());
  return -1;
}

[[nodiscard]] THAW_INLINE bool is_counted(std::string_view name) {
  for (const std::string_view known : {"convolution", "linear", "mm", "bmm", "mv", "dot", "addmm", "baddbmm", "addmv",
                                       "scaled_dot_product_attention", "mkldnn_rnn_layer"})
    if (name == known) return true;
  return false;
}

THAW_INLINE void add_tensors(std::vector<at::Tensor>& tensors, const c10::IValue& value) {
  if (value.isTensor()) {
    if (value.toTensor().defined()) tensors.push_back(value.toTensor());
  } else if (value.isTensorList()) {
    for (const at::Tensor& each : value.toTensorVector()) tensors.push_back(each);
  } else if (value.isList()) {  // of tensors that may be missing
    for (const c10::IValue& each : value.toListRef()) add_tensors(tensors, each);
  }
}

THAW_INLINE OperatorLog*& OperatorLog::current() {
  thread_local OperatorLog* of_thread = nullptr;
  return of_thread;
}

THAW_INLINE OperatorLog::OperatorLog(std::function<void(const CalledOperator&)> tell)
    : tell_(std::move(tell)), enabled_(true) {
  current() = this;
  const auto begun = [](const at::RecordFunction& f) -> std::unique_ptr<at::ObserverContext> {
    if (current() != nullptr) current()->begin(f);
    return nullptr;
  };
  const auto ended = [](const at::RecordFunction& f, at::ObserverContext*) {
    if (current() != nullptr) current()->end(f);
  };
  handle_ = at::addThreadLocalCallback(at::RecordFunctionCallback(begun, ended)
                                           .needsInputs(true)
                                           .needsOutputs(true)
                                           .scopes({at::RecordScope::FUNCTION}));
}

THAW_INLINE OperatorLog::~OperatorLog() {
  at::removeCallback(handle_);
  current() = nullptr;
}

THAW_INLINE void OperatorLog::begin(const at::RecordFunction& f) {
  std::string_view name = f.name();
  if (name.starts_with("aten::")) name.remove_prefix(6);
  Frame frame{.called = {.name = std::string(name)}, .arguments = {}, .counts = is_counted(name)};
  for (const Frame& outer : frames_) frame.counts = frame.counts && !outer.counts;
  if (frame.counts) frame.arguments.assign(inputs_of(f).begin(), inputs_of(f).end());
  if (frames_.empty())
    for (const c10::IValue& each : inputs_of(f)) add_tensors(frame.called.inputs, each);
  frames_.push_back(std::move(frame));
}

THAW_INLINE void OperatorLog::end(const at::RecordFunction& f) {
  if (frames_.empty()) return;
  Frame frame = std::move(frames_.back());
  frames_.pop_back();
  std::vector<at::Tensor>& outputs = frame.called.outputs;
  for (const c10::IValue& each : f.outputs()) add_tensors(outputs, each);
  if (frame.counts && !outputs.empty())  // none where it threw
    frame.called.multiply_adds = multiply_adds(frame.called.name, frame.arguments, outputs[0]);
  if (frames_.empty())
    tell_(frame.called);
  else
    frames_.back().called.multiply_adds += frame.called.multiply_adds;
}

}  // namespace thaw::detail

#endif
