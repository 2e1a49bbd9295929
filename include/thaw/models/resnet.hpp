// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/max_pool2d.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/nn/init.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/forward_part.hpp>
#include <thaw/models/detail/checks.hpp>
#include <thaw/models/imagenet.hpp>
#include <thaw/models/initial_values.hpp>
#include <thaw/models/norm_relu.hpp>

namespace thaw::models {

/// The defaults are ResNet-18's.
struct ResNetOptions {
  std::int64_t classes = 1000;
  std::int64_t in_channels = 3;
  std::array<std::int64_t, 4> blocks = {2, 2, 2, 2};  ///< of each stage
  bool bottleneck = false;            ///< blocks of 1x1, 3x3, 1x1 that put out four times the channels, else of two 3x3
  std::int64_t groups = 1;            ///< of a bottleneck's 3x3; ResNeXt has 32
  std::int64_t width_per_group = 64;  ///< channels of that 3x3 in the first stage; wide networks have 128
  bool zero_init_residual = false;    ///< each block's last norm starts at 0, so each block as its shortcut
};

struct ResNetBlockOptions {
  std::int64_t in = 64, out = 64;  ///< channels
  std::int64_t width = 64;         ///< channels inside
  std::int64_t stride = 1;
  std::int64_t groups = 1;  ///< of a bottleneck's 3x3
  bool bottleneck = false;
};

/// Residual block (arXiv:1512.03385): two 3x3 convolutions, or 1x1, 3x3, 1x1, batch norm after each and ReLU between,
/// then plus the input and ReLU. The input goes through a 1x1 convolution and a norm where the shape changes. The
/// first 3x3 has the stride (the paper puts a bottleneck's on its first 1x1).
/// [N, in, H, W] -> [N, out, H / stride, W / stride], rounded up.
struct ResNetBlockImpl : torch::nn::Module {
  explicit ResNetBlockImpl(const ResNetBlockOptions& options_ = {}) : options(options_) {
    using torch::nn::Conv2dOptions;
    const auto conv = [this](const char* name, Conv2dOptions conv_options) {
      return register_module(name, torch::nn::Conv2d(conv_options.bias(false)));
    };
    const auto norm = [this](const char* name, std::int64_t channels) {
      return register_module(name, torch::nn::BatchNorm2d(channels));
    };
    const std::int64_t in = options.in, width = options.width, out = options.out, stride = options.stride;
    if (options.bottleneck) {
      conv1 = conv("conv1", Conv2dOptions(in, width, 1));
      bn1 = norm("bn1", width);
      conv2 = conv("conv2", Conv2dOptions(width, width, 3).stride(stride).padding(1).groups(options.groups));
      bn2 = norm("bn2", width);
      conv3 = conv("conv3", Conv2dOptions(width, out, 1));
      bn3 = norm("bn3", out);
    } else {
      conv1 = conv("conv1", Conv2dOptions(in, width, 3).stride(stride).padding(1));
      bn1 = norm("bn1", width);
      conv2 = conv("conv2", Conv2dOptions(width, out, 3).padding(1));
      bn2 = norm("bn2", out);
    }
    if (stride != 1 || in != out)
      downsample = register_module(
          "downsample", torch::nn::Sequential(torch::nn::Conv2d(Conv2dOptions(in, out, 1).stride(stride).bias(false)),
                                              torch::nn::BatchNorm2d(out)));
  }

  /// ReLU and the sum work in place: no backward needs what they overwrite.
  at::Tensor forward(const at::Tensor& x) {
    at::Tensor y = norm_relu(bn1, conv1(x));
    y = conv3 ? bn3(conv3(norm_relu(bn2, conv2(y)))) : bn2(conv2(y));
    y += downsample ? downsample->forward(x) : x;
    return y.relu_();
  }

  [[nodiscard]] torch::nn::BatchNorm2d& last_norm() { return bn3 ? bn3 : bn2; }

  ResNetBlockOptions options;
  torch::nn::Conv2d conv1{nullptr}, conv2{nullptr}, conv3{nullptr};
  torch::nn::BatchNorm2d bn1{nullptr}, bn2{nullptr}, bn3{nullptr};
  torch::nn::Sequential downsample{nullptr};
};
TORCH_MODULE(ResNetBlock);

namespace detail {

inline void check(const ResNetOptions& options) {
  check_ends("ResNet", options.classes, options.in_channels);
  require("ResNet", std::ranges::min(options.blocks) >= 1, fmt::format("blocks is {}", options.blocks),
          "give every stage a block or more; ResNet-18 has {2, 2, 2, 2}");
  const std::string inside = fmt::format("groups is {}, width_per_group {}", options.groups, options.width_per_group);
  require("ResNet", options.groups >= 1 && options.width_per_group >= 1, inside,
          "give 1 or more; ResNet-50 has 1 and 64");
  require("ResNet", options.bottleneck || (options.groups == 1 && options.width_per_group == 64), inside,
          "set bottleneck, or leave them at 1 and 64: they are of a bottleneck's 3x3");
}

}  // namespace detail

/// ResNet (arXiv:1512.03385) as torchvision has it, with ResNeXt (arXiv:1611.05431) and wide networks
/// (arXiv:1605.07146) by its options.
///
/// Images [N, in_channels, H, W] of any size give logits [N, classes]. Names and shapes in the state dict are
/// torchvision's (`conv1.weight`, ..., `layer1.0.downsample.0.weight`, ..., `fc.bias`), so published weights load; they
/// expect images by imagenet_mean and imagenet_std. Children are registered in the order in which they run. Throws
/// ConfigError for options out of range.
/// Source: torchvision 0.28, models/resnet.py.
/// Example: ResNet-152 is `ResNet(ResNetOptions{.blocks = {3, 8, 36, 3}, .bottleneck = true})`.
struct ResNetImpl : torch::nn::Module {
  explicit ResNetImpl(const ResNetOptions& options_ = {}) : options(options_) {
    detail::check(options);
    const auto halves = torch::nn::Conv2dOptions(options.in_channels, 64, 7).stride(2).padding(3).bias(false);
    conv1 = register_module("conv1", torch::nn::Conv2d(halves));
    bn1 = register_module("bn1", torch::nn::BatchNorm2d(64));
    layer1 = register_module("layer1", stage(0));
    layer2 = register_module("layer2", stage(1));
    layer3 = register_module("layer3", stage(2));
    layer4 = register_module("layer4", stage(3));
    fc = register_module("fc", torch::nn::Linear(head_features(), options.classes));
    initialise_convolutions(*this);
    if (!options.zero_init_residual) return;
    for (const auto& layer : modules(/*include_self=*/false))
      if (auto* block = layer->as<ResNetBlock>()) torch::nn::init::zeros_(block->last_norm()->weight);
  }

  /// What the head sees: [N, in_channels, H, W] -> [N, head_features(), H / 32, W / 32], rounded up.
  /// Throws DataError for a tensor of another shape.
  at::Tensor features(const at::Tensor& x) {
    const at::Tensor y = layer2->forward(layer1->forward(pool(stem(x))));
    return layer4->forward(layer3->forward(y));
  }

  /// Logits [N, classes]; with a head of your own, whatever that gives.
  at::Tensor forward(const at::Tensor& x) { return head ? head->forward(features(x)) : fc(features(x).mean({2, 3})); }

  /// Stem, pooling, each block, each layer of the head, so that frozen ones can be run apart from the rest.
  std::vector<ForwardPart> forward_parts() {
    std::vector<ForwardPart> parts{{"conv1", {conv1.ptr(), bn1.ptr()}, [this](const at::Tensor& x) { return stem(x); }},
                                   {"maxpool", {}, pool}};
    const auto add = [&](torch::nn::Sequential& row, const char* name) {
      for (ForwardPart& part : thaw::forward_parts(*row, name)) parts.push_back(std::move(part));
    };
    add(layer1, "layer1");
    add(layer2, "layer2");
    add(layer3, "layer3");
    add(layer4, "layer4");
    if (head) {
      add(head, "head");
    } else {
      parts.push_back({"avgpool", {}, [](const at::Tensor& x) { return x.mean({2, 3}); }});
      parts.emplace_back("fc", fc);
    }
    return parts;
  }

  /// How many channels `features` has: 512, of bottlenecks 2048.
  [[nodiscard]] std::int64_t head_features() const { return channels(3); }

  /// Takes out the classifier `fc` or an earlier head; `new_head` becomes the last child, "head". See replace_head.
  void set_head(torch::nn::Sequential new_head) {
    unregister_module(head ? "head" : "fc");
    fc = nullptr;
    head = register_module("head", std::move(new_head));
  }

  ResNetOptions options;
  torch::nn::Conv2d conv1{nullptr};
  torch::nn::BatchNorm2d bn1{nullptr};
  torch::nn::Sequential layer1{nullptr}, layer2{nullptr}, layer3{nullptr}, layer4{nullptr}, head{nullptr};
  torch::nn::Linear fc{nullptr};

 private:
  /// [N, in_channels, H, W] -> [N, 64, H / 2, W / 2], rounded up.
  at::Tensor stem(const at::Tensor& x) {
    detail::check_images("ResNet", x, options.in_channels);
    return norm_relu(bn1, conv1(x));
  }

  static at::Tensor pool(const at::Tensor& x) {
    return at::max_pool2d(x, /*kernel_size=*/3, /*stride=*/2, /*padding=*/1);
  }

  /// What stage 0 to 3 puts out.
  [[nodiscard]] std::int64_t channels(std::size_t index) const {
    return (std::int64_t{64} << index) * (options.bottleneck ? 4 : 1);
  }

  /// Blocks in a row, of which the first changes the number of channels and, but in stage 0, halves the resolution.
  [[nodiscard]] torch::nn::Sequential stage(std::size_t index) const {
    ResNetBlockOptions block{.in = index == 0 ? 64 : channels(index - 1),
                             .out = channels(index),
                             .width = (options.width_per_group << index) * options.groups,
                             .stride = index == 0 ? 1 : 2,
                             .groups = options.groups,
                             .bottleneck = options.bottleneck};
    torch::nn::Sequential row;
    for (std::int64_t i = 0; i < options.blocks[index]; ++i) {
      row->push_back(ResNetBlock(block));
      block.in = block.out;
      block.stride = 1;
    }
    return row;
  }
};
TORCH_MODULE(ResNet);

namespace detail {

inline ResNet resnet(ResNetOptions options, const std::array<std::int64_t, 4>& blocks, bool bottleneck,
                     std::int64_t groups = 1, std::int64_t width_per_group = 64) {
  options.blocks = blocks;
  options.bottleneck = bottleneck;
  options.groups = groups;
  options.width_per_group = width_per_group;
  return ResNet(options);
}

}  // namespace detail

/// torchvision's networks of these names, with random weights: 11.7, 21.8, 25.6, 44.5, 25.0 and 68.9 million
/// parameters for 1,000 classes. Each sets `blocks`, `bottleneck`, `groups` and `width_per_group` of its options.
/// Example: `auto model = thaw::models::resnet34({.classes = 10});`
[[nodiscard]] inline ResNet resnet18(const ResNetOptions& options = {}) {
  return detail::resnet(options, {2, 2, 2, 2}, /*bottleneck=*/false);
}
[[nodiscard]] inline ResNet resnet34(const ResNetOptions& options = {}) {
  return detail::resnet(options, {3, 4, 6, 3}, /*bottleneck=*/false);
}
[[nodiscard]] inline ResNet resnet50(const ResNetOptions& options = {}) {
  return detail::resnet(options, {3, 4, 6, 3}, /*bottleneck=*/true);
}
[[nodiscard]] inline ResNet resnet101(const ResNetOptions& options = {}) {
  return detail::resnet(options, {3, 4, 23, 3}, /*bottleneck=*/true);
}
[[nodiscard]] inline ResNet resnext50_32x4d(const ResNetOptions& options = {}) {
  return detail::resnet(options, {3, 4, 6, 3}, /*bottleneck=*/true, /*groups=*/32, /*width_per_group=*/4);
}
[[nodiscard]] inline ResNet wide_resnet50_2(const ResNetOptions& options = {}) {
  return detail::resnet(options, {3, 4, 6, 3}, /*bottleneck=*/true, /*groups=*/1, /*width_per_group=*/128);
}

/// Where to cut any of them, once its head is replaced, into fastai's three layer groups:
///
///     stem, layer1, layer2    edges and textures, down to 1/8 of the resolution
///     layer3, layer4          parts and objects
///     head                    new, with random weights
///
/// Example: `thaw::LayerGroups::cut_before(model, thaw::models::resnet_cuts())`.
[[nodiscard]] inline std::vector<std::string> resnet_cuts() {
  return {"layer3", "head"};
}

}  // namespace thaw::models
