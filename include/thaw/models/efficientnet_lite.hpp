// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/grad_mode.h>
#include <ATen/ops/dropout.h>
#include <fmt/format.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/channel_statistics.hpp>
#include <thaw/core/forward_part.hpp>
#include <thaw/models/conv_norm.hpp>
#include <thaw/models/detail/checks.hpp>
#include <thaw/models/efficientnet_stages.hpp>
#include <thaw/models/mbconv.hpp>

namespace thaw::models {

/// What the published weights expect of an image, per channel in the order RGB: (x / 255 - mean) / std, which of bytes
/// is (x - 127) / 128. (Their Python package rounds to .498 and .502.)
inline constexpr std::array<double, 3> efficientnet_lite_mean = lite_statistics.mean;
inline constexpr std::array<double, 3> efficientnet_lite_std = lite_statistics.std;

struct EfficientNetLiteOptions {
  std::int64_t classes = 1000;
  std::int64_t in_channels = 3;
  std::optional<double> dropout = {};  ///< before the classifier: .2, from lite2 on .3
  double drop_connect = 0;  ///< stochastic depth, rising to this at the last block; TensorFlow trains with .2
  double bn_momentum = 0.01, bn_eps = 1e-3;
  double width = 1, depth = 1;    ///< channels and blocks, as multiples of lite0's
  std::int64_t image_size = 224;  ///< pixels; only the padding depends on it, so other sizes work too
};

/// The seven stages of EfficientNet-B0, scaled: channels as round_channels does, blocks up. In the lite family the
/// first and last stage keep their depth.
[[nodiscard]] inline auto efficientnet_lite_stages(const EfficientNetLiteOptions& options = {}) {
  auto stages = efficientnet_b0_stages;
  for (EfficientNetStage& stage : stages) {
    stage.channels = round_channels(static_cast<double>(stage.channels) * options.width);
    if (&stage != &stages.front() && &stage != &stages.back())
      stage.blocks = static_cast<std::int64_t>(std::ceil(static_cast<double>(stage.blocks) * options.depth));
  }
  return stages;
}

namespace detail {

inline void check(const EfficientNetLiteOptions& options) {
  constexpr const char* model = "EfficientNetLite";
  check_ends(model, options.classes, options.in_channels);
  check_probability(model, "dropout", options.dropout.value_or(0));
  check_probability(model, "drop_connect", options.drop_connect);
  check_norm(model, options.bn_eps, options.bn_momentum);
  require(model, options.width > 0 && options.depth > 0,
          fmt::format("width is {}, depth {}", options.width, options.depth),
          "give multiples of lite0's, 1 for lite0 itself");
  require(model, options.image_size >= 32, fmt::format("image_size is {}", options.image_size),
          "give the pixels of a side, 32 or more");
}

/// TensorFlow's: convolutions normal with variance 2 / (k k filters), where a depthwise one has one filter per channel;
/// the classifier uniform within 1 / sqrt(classes), its bias 0. Batch norm is 1 and 0 already.
inline void initialise_as_tensorflow(torch::nn::Module& net) {
  const at::NoGradGuard no_grad;
  for (const auto& layer : net.modules(/*include_self=*/false)) {
    if (auto* conv = layer->as<torch::nn::Conv2d>()) {
      const std::int64_t filters = conv->options.out_channels() / conv->options.groups();
      const auto fan_out = static_cast<double>(conv->weight[0][0].numel() * filters);
      conv->weight.normal_(0, std::sqrt(2 / fan_out));
    } else if (auto* linear = layer->as<torch::nn::Linear>()) {
      const double bound = 1 / std::sqrt(static_cast<double>(linear->options.out_features()));
      linear->weight.uniform_(-bound, bound);
      linear->bias.zero_();
    }
  }
}

}  // namespace detail

/// EfficientNet-lite: EfficientNet (arXiv:1905.11946) without squeeze-excite, with ReLU6 for swish.
///
/// Images [N, in_channels, H, W] of any size from 32 pixels give logits [N, classes]. Names in the state dict are the
/// PyTorch port's (`_conv_stem.weight`, ..., `_fc.bias`), so published weights load; children are registered in the
/// order in which they run. Throws ConfigError for options out of range.
/// Source: the paper; TensorFlow's models/official/efficientnet/lite, which never scales stem and head.
struct EfficientNetLiteImpl : torch::nn::Module {
  explicit EfficientNetLiteImpl(const EfficientNetLiteOptions& options_ = {}) : options(options_) {
    detail::check(options);
    const auto norm = [&](std::int64_t channels) {
      return torch::nn::BatchNorm2d(
          torch::nn::BatchNorm2dOptions(channels).eps(options.bn_eps).momentum(options.bn_momentum));
    };
    std::int64_t channels = 32, size = options.image_size;
    const auto halves = torch::nn::Conv2dOptions(options.in_channels, channels, 3).stride(2);
    conv_stem = register_module("_conv_stem", SameConv2d(halves, size));
    bn0 = register_module("_bn0", norm(channels));
    size = (size + 1) / 2;

    blocks = register_module("_blocks", torch::nn::Sequential());
    const auto stages = efficientnet_lite_stages(options);
    std::int64_t count = 0;
    for (const EfficientNetStage& stage : stages) count += stage.blocks;
    for (const EfficientNetStage& stage : stages)
      for (std::int64_t i = 0; i < stage.blocks; ++i) {
        const std::int64_t stride = i == 0 ? stage.stride : 1;
        const double place = static_cast<double>(blocks->size()) / static_cast<double>(count);
        blocks->push_back(MBConv(MBConvOptions{.in = channels,
                                               .out = stage.channels,
                                               .kernel = stage.kernel,
                                               .stride = stride,
                                               .expand = stage.expand,
                                               .size = size,
                                               .drop = options.drop_connect * place,
                                               .bn_momentum = options.bn_momentum,
                                               .bn_eps = options.bn_eps}));
        channels = stage.channels;
        size = (size + stride - 1) / stride;
      }

    conv_head = register_module("_conv_head",
                                torch::nn::Conv2d(torch::nn::Conv2dOptions(channels, head_features(), 1).bias(false)));
    bn1 = register_module("_bn1", norm(head_features()));
    fc = register_module("_fc", torch::nn::Linear(head_features(), options.classes));
    detail::initialise_as_tensorflow(*this);
  }

  /// What the head sees: [N, in_channels, H, W] -> [N, 1280, H / 32, W / 32]; lite0 rounds down.
  /// Throws DataError for a tensor of another shape.
  at::Tensor features(const at::Tensor& x) { return last(blocks->forward(stem(x))); }

  /// Logits [N, classes]; with a head of your own, whatever that gives.
  at::Tensor forward(const at::Tensor& x) { return classify(features(x)); }

  /// Stem, each block, last convolution, each layer of the head, so that frozen ones can be run apart from the rest.
  std::vector<ForwardPart> forward_parts() {
    std::vector<ForwardPart> parts{
        {"_conv_stem", {conv_stem.ptr(), bn0.ptr()}, [this](const at::Tensor& x) { return stem(x); }}};
    for (ForwardPart& block : thaw::forward_parts(*blocks, "_blocks")) parts.push_back(std::move(block));
    parts.push_back({"_conv_head", {conv_head.ptr(), bn1.ptr()}, [this](const at::Tensor& x) { return last(x); }});
    if (head)
      for (ForwardPart& layer : thaw::forward_parts(*head, "head")) parts.push_back(std::move(layer));
    else
      parts.push_back({"_fc", {fc.ptr()}, [this](const at::Tensor& x) { return classify(x); }});
    return parts;
  }

  /// How many channels `features` has.
  [[nodiscard]] std::int64_t head_features() const { return 1280; }

  /// Takes out the classifier `_fc` or an earlier head; `new_head` becomes the last child, "head". See replace_head.
  void set_head(torch::nn::Sequential new_head) {
    unregister_module(head ? "head" : "_fc");
    fc = nullptr;
    head = register_module("head", std::move(new_head));
  }

  EfficientNetLiteOptions options;
  SameConv2d conv_stem{nullptr};
  torch::nn::BatchNorm2d bn0{nullptr}, bn1{nullptr};
  torch::nn::Sequential blocks{nullptr}, head{nullptr};
  torch::nn::Conv2d conv_head{nullptr};
  torch::nn::Linear fc{nullptr};

 private:
  at::Tensor stem(const at::Tensor& x) {
    detail::check_images("EfficientNetLite", x, options.in_channels, /*least=*/32);
    return norm_relu(bn0, conv_stem(x), relu6_limit);
  }
  at::Tensor last(const at::Tensor& x) { return norm_relu(bn1, conv_head(x), relu6_limit); }
  at::Tensor classify(const at::Tensor& x) {
    if (head) return head->forward(x);
    return fc(at::dropout(x.mean({2, 3}), options.dropout.value_or(0.2), is_training()));
  }
};
TORCH_MODULE(EfficientNetLite);

namespace detail {

inline EfficientNetLite scaled(EfficientNetLiteOptions options, double width, double depth, std::int64_t image_size,
                               double dropout) {
  options.width = width;
  options.depth = depth;
  options.image_size = image_size;
  options.dropout = options.dropout.value_or(dropout);
  return EfficientNetLite(options);
}

}  // namespace detail

/// The five published sizes, with random weights, made for images of 224, 240, 260, 280 and 300 pixels: 4.7, 5.4, 6.1,
/// 8.2 and 13.0 million parameters for 1,000 classes. Each sets `width`, `depth` and `image_size` of its options.
/// Example: `auto model = thaw::models::efficientnet_lite0({.classes = 10});`
[[nodiscard]] inline EfficientNetLite efficientnet_lite0(const EfficientNetLiteOptions& options = {}) {
  return detail::scaled(options, 1.0, 1.0, 224, 0.2);
}
[[nodiscard]] inline EfficientNetLite efficientnet_lite1(const EfficientNetLiteOptions& options = {}) {
  return detail::scaled(options, 1.0, 1.1, 240, 0.2);
}
[[nodiscard]] inline EfficientNetLite efficientnet_lite2(const EfficientNetLiteOptions& options = {}) {
  return detail::scaled(options, 1.1, 1.2, 260, 0.3);
}
[[nodiscard]] inline EfficientNetLite efficientnet_lite3(const EfficientNetLiteOptions& options = {}) {
  return detail::scaled(options, 1.2, 1.4, 280, 0.3);
}
[[nodiscard]] inline EfficientNetLite efficientnet_lite4(const EfficientNetLiteOptions& options = {}) {
  return detail::scaled(options, 1.4, 1.8, 300, 0.3);
}

/// Where to cut the network, once its head is replaced, into three layer groups in the spirit of fastai's ResNet split:
///
///     stem, stages 1 to 3    edges and textures, down to 1/8 of the resolution
///     stages 4 to 7          parts and objects; from "_blocks.5" (lite1 to lite3: 7, lite4: 9)
///     head                   new, with random weights
///
/// Example: `thaw::LayerGroups::cut_before(model, thaw::models::efficientnet_lite_cuts())`; for a larger variant give
/// `model->options`.
[[nodiscard]] inline std::vector<std::string> efficientnet_lite_cuts(const EfficientNetLiteOptions& options = {}) {
  const auto stages = efficientnet_lite_stages(options);
  return {fmt::format("_blocks.{}", stages[0].blocks + stages[1].blocks + stages[2].blocks), "head"};
}

}  // namespace thaw::models
