// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/first_line.hpp>
#include <thaw/core/out_of_memory.hpp>
#include <thaw/core/random_state.hpp>
#include <thaw/data/batch.hpp>
#include <thaw/groups/layer_groups.hpp>
#include <thaw/train/detail/device_graph.hpp>

namespace thaw::detail {

/// What a captured pass depends on, but for the batch: where weights lie and which of them train.
struct PassKey {
  const void* split;
  std::vector<const void*> tensors;
  std::vector<bool> trained, frozen;
  NormRule norm;

  [[nodiscard]] static PassKey of(const LayerGroups& groups, const void* split) {
    PassKey key{.split = split, .tensors = {}, .trained = {}, .frozen = groups.frozen(), .norm = groups.norm_rule()};
    groups.each_tensor([&](const std::string&, const at::Tensor& tensor) {
      key.tensors.push_back(tensor.const_data_ptr());
      key.trained.push_back(tensor.requires_grad());
    });
    return key;
  }
  bool operator==(const PassKey&) const = default;
};

/// Forward and backward pass of a batch, captured once: replayed on another one of its shapes, it costs one launch. It
/// gives what the passes themselves give; captured in memory of its own, in which the gradients lie until the next one.
class PassGraph {
 public:
  /// `pass` adds the gradients of a batch's loss, and returns that, detached. Runs it a few times first, since
  /// libraries allocate and choose kernels as they begin; that leaves nothing behind. Throws ConfigError where it
  /// cannot be captured.
  template <class Pass>
  PassGraph(PassKey key, const LayerGroups& groups, const Batch& example, double weight, const Pass& pass)
      : key_(std::move(key)), weight_(weight), graph_(example.input[0].device()) {
    const auto own = [](const at::Tensor& tensor) { return tensor.detach().clone(); };
    batch_ = {.input = example.input.map(own), .target = example.target.map(own)};
    for (const LayerGroup& group : groups)
      for (const GroupParameter& parameter : group.parameters)
        if (parameter.tensor.requires_grad()) parameters_.push_back(parameter.tensor);
    const std::vector<at::Tensor> gradients = take_gradients();
    const auto put_back = [&] { give(gradients); };
    try {
      warm_up(groups, pass);
      graph_.capture([&] { loss_ = pass(batch_); });
    } catch (const std::exception& error) {
      put_back();
      if (is_out_of_memory(error)) throw;
      throw ConfigError("LearnerOptions::cuda_graphs",
                        "the model or the loss cannot be captured: " + first_line(error).substr(0, 300),
                        "leave it off, or let nothing in them read a number from the device or copy one to it");
    }
    gradients_ = take_gradients();
    put_back();
  }

  [[nodiscard]] const PassKey& key() const { return key_; }
  /// Whether a batch is of the shapes, and its loss of the weight, that were captured.
  [[nodiscard]] bool takes(const Batch& batch, double weight) const {
    return weight == weight_ && alike(batch.input, batch_.input) && alike(batch.target, batch_.target);
  }

  /// Adds the gradients of this batch's loss, which it returns.
  [[nodiscard]] at::Tensor replay(const Batch& batch) {
    const c10::NoGradGuard no_grad;
    copy(batch.input, batch_.input);
    copy(batch.target, batch_.target);
    std::vector<at::Tensor> before = take_gradients();
    for (std::size_t i = 0; i < before.size(); ++i)
      if (before[i].defined() && before[i].is_same(gradients_[i])) before[i] = before[i].clone();  // of this very step
    graph_.replay();
    for (std::size_t i = 0; i < before.size(); ++i)
      if (before[i].defined() && gradients_[i].defined())
        before[i].add_(gradients_[i]);
      else if (gradients_[i].defined())
        before[i] = gradients_[i];
    give(before);
    return loss_.clone();
  }

 private:
  [[nodiscard]] static bool alike(const Fields& a, const Fields& b) {
    return std::ranges::equal(a, b, [](const at::Tensor& x, const at::Tensor& y) {
      return x.sizes() == y.sizes() && x.strides() == y.strides() && x.scalar_type() == y.scalar_type();
    });
  }
  static void copy(const Fields& from, const Fields& to) {
    for (std::size_t i = 0; i < to.size(); ++i) to[i].copy_(from[i], /*non_blocking=*/true);
  }

  [[nodiscard]] std::vector<at::Tensor> take_gradients() {
    std::vector<at::Tensor> result;
    result.reserve(parameters_.size());
    for (at::Tensor& parameter : parameters_) result.push_back(std::exchange(parameter.mutable_grad(), at::Tensor()));
    return result;
  }
  void give(const std::vector<at::Tensor>& gradients) {
    for (std::size_t i = 0; i < gradients.size(); ++i) parameters_[i].mutable_grad() = gradients[i];
  }

  template <class Pass>
  void warm_up(const LayerGroups& groups, const Pass& pass) {
    constexpr int times = 3;
    const RandomState random;
    std::vector<std::pair<at::Tensor, at::Tensor>> buffers;
    for (const LayerGroup& group : groups)
      for (const auto& [name, buffer] : group.buffers)
        if (buffer.defined()) buffers.emplace_back(buffer, buffer.clone());
    const auto put_back = [&] {
      const c10::NoGradGuard no_grad;
      (void)take_gradients();
      for (auto& [buffer, value] : buffers) buffer.copy_(value);
    };
    try {
      graph_.beside([&] {
        for (int i = 0; i < times; ++i) (void)pass(batch_);
      });
    } catch (...) {
      put_back();
      throw;
    }
    put_back();
  }

  PassKey key_;
  double weight_;
  DeviceGraph graph_;
  Batch batch_;  // in the memory that the graph reads
  std::vector<at::Tensor> parameters_, gradients_;
  at::Tensor loss_;
};

}  // namespace thaw::detail
