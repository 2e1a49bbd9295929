// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <utility>
#include <vector>

#include <thaw/core/forward_part.hpp>
#include <thaw/models/detail/checks.hpp>

namespace thaw::models {

/// A Sequential that can be a layer of another one: it takes and gives one tensor.
struct LayersImpl : torch::nn::SequentialImpl {
  using SequentialImpl::SequentialImpl;
  at::Tensor forward(const at::Tensor& x) { return SequentialImpl::forward(x); }
};
TORCH_MODULE(Layers);

/// What the networks share that torchvision made of two Sequentials: "features", convolutions from images to maps, and
/// "classifier", from the maps' means to logits. A model's constructor fills them and sets `channels`.
///
/// `Options` has `in_channels`, which may change (see adapt_first_convolution).
template <class Options>
struct FeaturesClassifier : torch::nn::Module {
  /// What the head sees: [N, in_channels, H, W] -> [N, head_features(), H / 32, W / 32].
  /// Throws DataError for a tensor of another shape, or of fewer than `least` pixels.
  at::Tensor features(const at::Tensor& x) {
    detail::check_images(name(), x, options.in_channels, least);
    return body->forward(x);
  }

  /// Logits [N, classes]; with a head of your own, whatever that gives.
  at::Tensor forward(const at::Tensor& x) {
    const at::Tensor maps = features(x);
    return head ? head->forward(maps) : classifier->forward(maps.mean({2, 3}));
  }

  /// Each layer of `features`, those of a stage one by one, each layer of the head, so that frozen ones can be run
  /// apart from the rest.
  std::vector<ForwardPart> forward_parts() {
    std::vector<ForwardPart> parts;
    const auto add = [&parts](std::vector<ForwardPart> row) {
      for (ForwardPart& part : row) parts.push_back(std::move(part));
    };
    for (ForwardPart& layer : thaw::forward_parts(*body, "features"))
      if (auto* stage = layer.modules.front()->template as<Layers>())
        add(thaw::forward_parts(*stage, layer.name));
      else
        parts.push_back(std::move(layer));
    parts.front().forward = [this, first = std::move(parts.front().forward)](const ForwardPart::Tensors& x) {
      detail::check_images(name(), x.at(0), options.in_channels, least);
      return first(x);
    };
    if (head) {
      add(thaw::forward_parts(*head, "head"));
    } else {
      parts.push_back({"avgpool", {}, [](const at::Tensor& x) { return x.mean({2, 3}); }});
      add(thaw::forward_parts(*classifier, "classifier"));
    }
    return parts;
  }

  /// How many channels `features` has.
  [[nodiscard]] std::int64_t head_features() const { return channels; }

  /// Takes out the classifier or an earlier head; `new_head` becomes the last child, "head". See replace_head.
  void set_head(torch::nn::Sequential new_head) {
    unregister_module(head ? "head" : "classifier");
    classifier = nullptr;
    head = register_module("head", std::move(new_head));
  }

  Options options;
  torch::nn::Sequential body{nullptr}, classifier{nullptr}, head{nullptr};
  std::int64_t channels = 0;  ///< of the features
  std::int64_t least = 1;     ///< pixels of an image's side

 protected:
  FeaturesClassifier(const char* model, const Options& options_) : Module(model), options(options_) {
    detail::check_ends(model, options.classes, options.in_channels);
    body = register_module("features", torch::nn::Sequential());
    classifier = register_module("classifier", torch::nn::Sequential());
  }
};

}  // namespace thaw::models
