// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/pimpl.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/forward_part.hpp>
#include <thaw/core/module_ptr.hpp>
#include <thaw/models/detail/checks.hpp>
#include <thaw/models/heads.hpp>
#include <thaw/models/unet_decoder.hpp>

namespace thaw::models {

struct UNetOptions {
  std::int64_t classes = 2;
  std::int64_t bottom = 0;  ///< channels at the lowest resolution, from which those above follow; 0: the features'
  bool blur = false;        ///< smooths each step up
  bool last_cross = true;   ///< the image itself comes in before the last convolutions
};

namespace detail {

inline void check(const UNetOptions& options) {
  require("unet", options.classes >= 1, fmt::format("classes is {}", options.classes),
          "give the number of classes, 1 or more");
  require("unet", options.bottom >= 0, fmt::format("bottom is {}", options.bottom),
          "give a number of channels, or 0 for as many as the features have");
}

}  // namespace detail

namespace detail {

/// Modules in eval mode, each back in its own mode at the end of the scope.
class EvalScope {
 public:
  explicit EvalScope(const std::vector<ForwardPart>& parts) {
    for (const ForwardPart& part : parts)
      for (const auto& module : part.modules)
        for (const auto& layer : module->modules()) modes_.emplace_back(layer, layer->is_training());
    for (const auto& [layer, training] : modes_) layer->eval();  // only now: two parts may list the same module
  }
  EvalScope(const EvalScope&) = delete;
  EvalScope& operator=(const EvalScope&) = delete;
  ~EvalScope() {
    for (const auto& [layer, training] : modes_) layer->train(training);
  }

 private:
  std::vector<std::pair<std::shared_ptr<torch::nn::Module>, bool>> modes_;  // children after their parents
};

}  // namespace detail

/// A part of a body that is a U-Net's tap: the last one before the resolution changes.
struct UNetTap {
  std::size_t part;                      ///< index in the body's forward_parts()
  std::int64_t channels, height, width;  ///< of what it gives, for the image that was tried
};

/// Runs zeros [1, channels, size, size] through the parts, in eval mode, and looks where the resolution changes. The
/// last element is the end, whether or not it does. Modes are put back, whatever a part throws; nothing else changes.
/// Throws ConfigError if a part does not give one tensor [1, C, H, W].
[[nodiscard]] inline std::vector<UNetTap> find_taps(const std::vector<ForwardPart>& parts, std::int64_t channels,
                                                    std::int64_t size = 64) {
  const at::NoGradGuard no_grad;
  const detail::EvalScope eval(parts);
  at::TensorOptions like;
  for (const ForwardPart& part : parts)
    for (const auto& module : part.modules)
      if (!module->parameters().empty()) like = module->parameters().front().options();
  std::vector<UNetTap> taps;
  ForwardPart::Tensors x{at::zeros({1, channels, size, size}, like)};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    x = parts[i].forward(x);
    if (x.size() != 1 || x[0].dim() != 4)
      throw ConfigError("unet", fmt::format("the body's part {} gives no feature map", parts[i].name),
                        "let each part take and give one tensor [N, C, H, W]");
    const UNetTap tap{i, x[0].size(1), x[0].size(2), x[0].size(3)};
    if (!taps.empty() && taps.back().height == tap.height && taps.back().width == tap.width)
      taps.back() = tap;
    else
      taps.push_back(tap);
  }
  return taps;
}

/// A U-Net (arXiv:1505.04597) whose way down is a pretrained network. Made by `unet`.
///
/// Images [N, C, H, W] of any size that the body takes give logits [N, classes, H, W], for thaw::cross_entropy with
/// targets [N, H, W]. In the state dict "body." stands before the body's own names, "decoder." before the rest.
struct UNetImpl : torch::nn::Module {
  /// `body_parts` lists the body's parts without a head; `channels` and `features` are those of its images and end.
  UNetImpl(std::shared_ptr<torch::nn::Module> body_, std::function<std::vector<ForwardPart>()> body_parts,
           std::int64_t channels, std::int64_t features, const UNetOptions& options_)
      : torch::nn::Module("UNet"), options(options_), body(std::move(body_)), body_parts_(std::move(body_parts)) {
    detail::check(options);
    constexpr std::int64_t size = 64;
    taps = find_taps(body_parts_(), channels, size);
    const std::int64_t end = taps.empty() ? 0 : taps.back().channels;
    detail::require("unet", taps.size() >= 2 && end == features,
                    fmt::format("the body's parts end in {} channels after {} changes of resolution, its features "
                                "have {}",
                                end, taps.empty() ? 0 : taps.size() - 1, features),
                    "let forward_parts() give what features() gives, when set_head() was given no layers");
    taps.pop_back();

    UNetDecoderOptions decoder_options{.classes = options.classes,
                                       .image = channels,
                                       .features = features,
                                       .bottom = options.bottom > 0 ? options.bottom : features,
                                       .ups = 0,
                                       .blur = options.blur,
                                       .last_cross = options.last_cross};
    for (const UNetTap& tap : taps) decoder_options.taps.push_back(tap.channels);
    for (std::int64_t height = taps.front().height; 2 * height <= size; height *= 2) ++decoder_options.ups;
    train(body->is_training());  // while it has no children: theirs may differ
    register_module("body", body);
    decoder = register_module("decoder", UNetDecoder(decoder_options));
    decoder->train(is_training());
  }

  /// Logits [N, classes, H, W].
  at::Tensor forward(const at::Tensor& x) {
    ForwardPart::Tensors tensors{x};
    for (const ForwardPart& part : forward_parts()) tensors = part.forward(tensors);
    return tensors[0];
  }

  /// The body's parts, then the decoder. Between them pass the image, the taps so far, and what the last part gave.
  std::vector<ForwardPart> forward_parts() {
    std::vector<ForwardPart> parts;
    std::vector<ForwardPart> below = body_parts_();
    std::size_t kept = 1;  // the image, and each tap that was passed
    for (std::size_t i = 0, tap = 0; i < below.size(); ++i) {
      parts.emplace_back("body." + below[i].name, below[i].modules,
                         [kept, run = std::move(below[i].forward)](const ForwardPart::Tensors& x) {
                           ForwardPart::Tensors y(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(kept));
                           y.push_back(run({x.back()}).at(0));
                           return y;
                         });
      if (tap < taps.size() && taps[tap].part == i) {
        ++tap;
        ++kept;
      }
    }
    parts.push_back({"decoder", {decoder.ptr()}, [this](const ForwardPart::Tensors& x) {
                       return ForwardPart::Tensors{decoder(x)};
                     }});
    return parts;
  }

  UNetOptions options;
  std::vector<UNetTap> taps;  ///< first to last, without the body's end
  std::shared_ptr<torch::nn::Module> body;
  UNetDecoder decoder{nullptr};

 private:
  std::function<std::vector<ForwardPart>()> body_parts_;
};
TORCH_MODULE(UNet);

/// A U-Net for segmentation over a pretrained network, in the manner of fastai's DynamicUnet: where the body's
/// resolution changes is found by running zeros through its forward_parts(), and for each such place the decoder takes
/// one step up. With `bottom` 0 it is DynamicUnet, but that a body whose first part divides the resolution by more than
/// 2 gets as many steps up at the end. That decoder is large, 20 million parameters over ResNet-18 and 78 over
/// EfficientNet-B0, most of them at the lowest resolution: `bottom = 256` makes it 10 and 9.
///
/// `body` is a ModuleHolder or std::shared_ptr of any of thaw's convolutional networks, or of a Backbone of your own
/// with forward_parts(). Load its weights first; the U-Net then owns it, without its head. The decoder has fastai's
/// initial values, and goes to the body's device, dtype and mode. Throws ConfigError for options out of range, which
/// leaves the body as it was, and for a body whose resolution does not change or whose parts do not fit its features,
/// which leaves it without its head, all else as it was.
///
///     auto body = thaw::models::resnet34();
///     thaw::load_weights(body, "resnet34-b627a593.pth");
///     auto model = thaw::models::unet(body, {.classes = 21});
///     auto groups = thaw::LayerGroups::cut_before(model, thaw::models::unet_cuts(thaw::models::resnet_cuts()));
///
/// Source: fastai 2.8, vision/models/unet.py; without self-attention.
template <class Model>
[[nodiscard]] UNet unet(Model body, const UNetOptions& options = {}) {
  auto& net = detail::backbone(body);
  static_assert(SplitForward<Model>, "thaw: unet needs a body with forward_parts(); see thaw::ForwardPart");
  std::int64_t channels = 0;  // fastai's way to tell: the first matrix is the first convolution's
  for (const at::Tensor& parameter : net.parameters())
    if (parameter.dim() == 4) {
      channels = parameter.size(1);
      break;
    }
  detail::check(options);
  detail::require("unet", channels > 0, "the body has no convolution", "give a network for images");
  net.set_head(torch::nn::Sequential());
  UNet model(
      thaw::detail::module_ptr(body), [body]() mutable { return thaw::forward_parts(body); }, channels,
      net.head_features(), options);
  detail::to_device_and_dtype_of(net, *model->decoder);
  return model;
}

/// Where to cut a U-Net into layer groups: where its body is cut, the decoder in the place of the head.
/// Example: `unet_cuts(resnet_cuts())` is {"body.layer3", "decoder"}.
[[nodiscard]] inline std::vector<std::string> unet_cuts(const std::vector<std::string>& body_cuts) {
  std::vector<std::string> cuts;
  for (const std::string& cut : body_cuts)
    if (cut != "head") cuts.push_back("body." + cut);
  cuts.emplace_back("decoder");
  return cuts;
}

}  // namespace thaw::models
