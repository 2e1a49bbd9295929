// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/channel_statistics.hpp>
#include <thaw/core/compiled.hpp>
#include <thaw/core/forward_part.hpp>
#include <thaw/models/heads.hpp>

namespace thaw::models {

/// What is said of an architecture beside its layers.
struct Architecture {
  std::string name = {};                                ///< as make() takes it: "resnet34"
  std::function<std::vector<std::string>()> cuts = {};  ///< see NetworkImpl::cuts
  ChannelStatistics statistics = imagenet_statistics;   ///< what its published weights expect of an image
};

/// A network for images whose type is known at run time alone: what make() gives. A module like any other: layer
/// groups, load_weights, replace_head, export_model and the Learner take it. It has the children, parameters and
/// buffers of the network that it was made from, under the same names, as the same objects; `train()` and `to()` reach
/// both.
class NetworkImpl : public torch::nn::Module {
 public:
  /// Of a network of your own: a module holder whose module is a Backbone that can be run in parts.
  template <class Net>
  requires Backbone<Net> && SplitForward<torch::nn::ModuleHolder<Net>> NetworkImpl(Architecture architecture,
                                                                                   torch::nn::ModuleHolder<Net> net)
      : torch::nn::Module(net->name()),
        architecture_(std::move(architecture)),
        net_(net.ptr()),
        forward_([&impl = *net](const at::Tensor& x) -> at::Tensor { return impl.forward(x); }),
        features_([&impl = *net](const at::Tensor& x) -> at::Tensor { return impl.features(x); }),
        parts_([&impl = *net] { return impl.forward_parts(); }),
        set_head_([&impl = *net](torch::nn::Sequential head) { impl.set_head(std::move(head)); }),
        head_features_(net->head_features()),
        pools_features_(PooledBackbone<Net>) {
    mirror();
  }

  /// Logits [N, classes] of images [N, channels, H, W].
  at::Tensor forward(const at::Tensor& x) { return forward_(x); }
  /// What the head sees: see Backbone.
  at::Tensor features(const at::Tensor& x) { return features_(x); }
  [[nodiscard]] std::int64_t head_features() const { return head_features_; }
  /// Whether the features need no pooling: see PooledBackbone.
  [[nodiscard]] bool pools_features() const { return pools_features_; }
  std::vector<ForwardPart> forward_parts() { return parts_(); }
  void set_head(torch::nn::Sequential head);

  [[nodiscard]] const std::string& architecture() const { return architecture_.name; }
  /// Where to cut it into three layer groups, once its head is replaced: as resnet_cuts() says.
  [[nodiscard]] std::vector<std::string> cuts() const { return architecture_.cuts(); }
  [[nodiscard]] const ChannelStatistics& statistics() const { return architecture_.statistics; }

  void train(bool on = true) override;

 private:
  void mirror();

  Architecture architecture_;
  std::shared_ptr<torch::nn::Module> net_;
  std::function<at::Tensor(const at::Tensor&)> forward_, features_;
  std::function<std::vector<ForwardPart>()> parts_;
  std::function<void(torch::nn::Sequential)> set_head_;
  std::int64_t head_features_;
  bool pools_features_;
};
TORCH_MODULE(Network);

}  // namespace thaw::models

#if THAW_DEFINES(models)

namespace thaw::models {

THAW_INLINE void NetworkImpl::set_head(torch::nn::Sequential head) {
  set_head_(std::move(head));
  mirror();
}

THAW_INLINE void NetworkImpl::train(bool on) {
  torch::nn::Module::train(on);
  net_->train(on);
}

/// Takes the network's children, parameters and buffers as its own, in the network's order.
THAW_INLINE void NetworkImpl::mirror() {
  for (const auto& child : named_children()) unregister_module(child.key());
  for (const auto& child : net_->named_children()) register_module(child.key(), child.value());
  const auto mine = named_parameters(/*recurse=*/false), buffers = named_buffers(/*recurse=*/false);
  for (const auto& each : net_->named_parameters(/*recurse=*/false))
    if (!mine.contains(each.key())) register_parameter(each.key(), each.value(), each.value().requires_grad());
  for (const auto& each : net_->named_buffers(/*recurse=*/false))
    if (!buffers.contains(each.key())) register_buffer(each.key(), each.value());
}

}  // namespace thaw::models

#endif
