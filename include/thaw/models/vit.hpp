// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/util/StringUtil.h>
#include <fmt/format.h>
#include <torch/nn/init.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/forward_part.hpp>
#include <thaw/models/attention.hpp>
#include <thaw/models/detail/checks.hpp>
#include <thaw/models/imagenet.hpp>
#include <thaw/models/vit_block.hpp>
#include <thaw/models/vit_positions.hpp>

namespace thaw::models {

/// The defaults are ViT-B/16's.
struct VitOptions {
  std::int64_t classes = 1000;
  std::int64_t in_channels = 3;
  std::int64_t image_size = 224;  ///< pixels of a side for which positions are learned; other sizes resample them
  std::int64_t patch_size = 16;   ///< pixels of a side
  std::int64_t width = 768;       ///< of a token, through all blocks
  std::int64_t depth = 12;        ///< blocks
  std::int64_t heads = 12;        ///< of attention in each block
  std::int64_t mlp_width = 3072;  ///< inside each block's MLP
  double dropout = 0;             ///< of the embedded tokens, of what attention gives, and after both layers of an MLP
  double attention_dropout = 0;   ///< of the attention weights
  double head_dropout = 0;        ///< before the classifier; torchvision has none
  double drop_path = 0;           ///< stochastic depth, rising to this at the last block; torchvision has none
  VitNames names = VitNames::torchvision;
};

namespace detail {

inline void check(const VitOptions& options) {
  const char* const model = "VisionTransformer";
  check_ends(model, options.classes, options.in_channels);
  require(model, options.patch_size >= 1 && options.image_size >= 1 && options.image_size % options.patch_size == 0,
          fmt::format("image_size is {}, patch_size {}", options.image_size, options.patch_size),
          "give an image size that is a multiple of the patch size; ViT-B/16 has 224 and 16");
  check_transformer(model, options.width, options.depth, options.heads, options.mlp_width);
  check_probability(model, "dropout", options.dropout);
  check_probability(model, "attention_dropout", options.attention_dropout);
  check_probability(model, "head_dropout", options.head_dropout);
  check_probability(model, "drop_path", options.drop_path);
}

}  // namespace detail

/// Vision transformer (arXiv:2010.11929) as torchvision has it, or with timm's names as timm has it and DeiT
/// (arXiv:2012.12877): a class token and the image's patches, their positions added, through pre-norm blocks; the
/// classifier sees the class token.
///
/// Images [N, in_channels, H, W] with H and W multiples of the patch size give logits [N, classes]. Where they are not
/// `image_size`, position embeddings are resampled as the names' publisher does (see resample_positions); gradients
/// reach those that were learned, so progressive resizing needs nothing else. Names and shapes in the state dict, and
/// initial values, are the publisher's; modules are registered in the order in which they run. ViT-B/16's and DeiT's
/// ImageNet weights expect imagenet_mean and imagenet_std. Throws ConfigError for options out of range.
/// Source: torchvision 0.28, models/vision_transformer.py; timm 1.0.31, models/vision_transformer.py.
/// Example: ViT-S/16 of timm is `VisionTransformer(VitOptions{.width = 384, .heads = 6, .mlp_width = 1536, .names =
/// VitNames::timm})`.
struct VisionTransformerImpl : torch::nn::Module {
  static constexpr bool pooled_features = true;

  explicit VisionTransformerImpl(const VitOptions& options_ = {}) : options(options_) {
    detail::check(options);
    const std::int64_t width = options.width, side = options.image_size / options.patch_size;
    patches = torch::nn::Conv2d(
        torch::nn::Conv2dOptions(options.in_channels, width, options.patch_size).stride(options.patch_size));
    class_token = at::zeros({1, 1, width});
    positions = at::empty({1, 1 + side * side, width});
    if (!timm()) torch::nn::init::normal_(positions, 0, 0.02);
    for (std::int64_t i = 0; i < options.depth; ++i) {
      const double place = options.depth == 1 ? 0 : static_cast<double>(i) / static_cast<double>(options.depth - 1);
      const VitBlock block(VitBlockOptions{.width = width,
                                           .heads = options.heads,
                                           .mlp_width = options.mlp_width,
                                           .dropout = options.dropout,
                                           .attention_dropout = options.attention_dropout,
                                           .drop_path = options.drop_path * place,
                                           .names = options.names});
      blocks->push_back(fmt::format("{}{}", timm() ? "" : "encoder_layer_", i), block);
    }
    norm = torch::nn::LayerNorm(torch::nn::LayerNormOptions({width}).eps(1e-6));
    fc = torch::nn::Linear(width, options.classes);
    timm() ? register_as_timm() : register_as_torchvision();
    timm() ? initialise_as_timm() : initialise_as_torchvision();
  }

  /// What the head sees, the class token: [N, in_channels, H, W] -> [N, width].
  /// Throws DataError for a tensor of another shape.
  at::Tensor features(const at::Tensor& x) { return last(blocks->forward(embed(x))); }

  /// Logits [N, classes]; with a head of your own, whatever that gives.
  at::Tensor forward(const at::Tensor& x) { return classify(features(x)); }

  /// Embeddings, each block, last norm, each layer of the head, so that frozen ones can be run apart from the rest.
  std::vector<ForwardPart> forward_parts() {
    std::vector<ForwardPart> parts{
        {timm() ? "patch_embed" : "conv_proj", {embeddings_alone()}, [this](const at::Tensor& x) { return embed(x); }}};
    for (std::int64_t i = 0; ForwardPart & block : thaw::forward_parts(*blocks)) {
      block.name = block_name(i++);
      parts.push_back(std::move(block));
    }
    parts.push_back({timm() ? "norm" : "encoder.ln", {norm.ptr()}, [this](const at::Tensor& x) { return last(x); }});
    if (head)
      for (ForwardPart& layer : thaw::forward_parts(*head, "head")) parts.push_back(std::move(layer));
    else
      parts.push_back({head_name(), {fc.ptr()}, [this](const at::Tensor& x) { return classify(x); }});
    return parts;
  }

  /// How many numbers `features` has: the width.
  [[nodiscard]] std::int64_t head_features() const { return options.width; }

  /// Takes out the classifier or an earlier head; `new_head` becomes the last child, "head". See replace_head.
  void set_head(torch::nn::Sequential new_head) {
    unregister_module(head_name());
    fc = nullptr;
    head = register_module("head", std::move(new_head));
  }

  /// Under which names they are registered: the position embeddings, block i, and what comes last.
  [[nodiscard]] std::string positions_name() const { return timm() ? "pos_embed" : "encoder.pos_embedding"; }
  [[nodiscard]] std::string block_name(std::int64_t i) const {
    return fmt::format("{}{}", timm() ? "blocks." : "encoder.layers.encoder_layer_", i);
  }
  [[nodiscard]] std::string head_name() const { return head || timm() ? "head" : "heads"; }

  VitOptions options;
  at::Tensor class_token, positions;
  torch::nn::Conv2d patches{nullptr};
  torch::nn::Sequential blocks, head{nullptr};
  torch::nn::LayerNorm norm{nullptr};
  torch::nn::Linear fc{nullptr};

 private:
  [[nodiscard]] bool timm() const { return options.names == VitNames::timm; }

  void register_as_torchvision() {
    register_parameter("class_token", class_token);
    register_module("conv_proj", patches);
    const auto encoder = register_module("encoder", std::make_shared<torch::nn::Module>("Encoder"));
    encoder->register_parameter("pos_embedding", positions);
    encoder->register_module("layers", blocks);
    encoder->register_module("ln", norm);
    register_module("heads", torch::nn::Sequential())->push_back("head", fc);
  }

  void register_as_timm() {
    register_parameter("cls_token", class_token);
    register_parameter("pos_embed", positions);
    register_module("patch_embed", std::make_shared<torch::nn::Module>("PatchEmbed"))->register_module("proj", patches);
    register_module("blocks", blocks);
    register_module("norm", norm);
    register_module("head", fc);
  }

  /// What its blocks have not done already.
  void initialise_as_torchvision() {
    const auto inputs = static_cast<double>(patches->weight[0].numel());
    torch::nn::init::normal_(patches->weight, 0, std::sqrt(1 / inputs));
    for (const at::Tensor& tensor : {patches->bias, fc->weight, fc->bias}) torch::nn::init::zeros_(tensor);
  }

  /// Linear weights normal with deviation .02, drawn by way of uniform numbers as timm draws them; biases 0.
  void initialise_as_timm() {
    const at::NoGradGuard no_grad;
    const auto draw = [](at::Tensor& x) { x.uniform_(-1, 1).erfinv_().mul_(0.02 * std::numbers::sqrt2).clamp_(-2, 2); };
    draw(positions);
    class_token.normal_(0, 1e-6);
    for (const auto& layer : modules(/*include_self=*/false))
      if (auto* linear = layer->as<torch::nn::Linear>()) {
        draw(linear->weight);
        linear->bias.zero_();
      }
  }

  at::Tensor embed(const at::Tensor& x) {
    const std::int64_t patch = options.patch_size;
    if (x.dim() != 4 || x.size(1) != options.in_channels || x.size(2) < patch || x.size(3) < patch ||
        x.size(2) % patch != 0 || x.size(3) % patch != 0)
      throw DataError("VisionTransformer::features", "the images are " + c10::str(x.sizes()),
                      fmt::format("give [N, {}, H, W] with H and W multiples of {}", options.in_channels, patch));
    const at::Tensor grid = patches(x);
    const at::Tensor patched = grid.flatten(2).transpose(1, 2);
    // as a tensor's shape, not as a number: so a traced network takes any batch size
    const at::Tensor tokens = at::cat({class_token.expand_as(patched.slice(1, 0, 1)), patched}, 1);
    const at::Tensor places = resample_positions(positions, grid.size(2), grid.size(3), options.names);
    return at::dropout(tokens + places, options.dropout, is_training());
  }
  at::Tensor last(const at::Tensor& x) { return norm(x.select(1, 0)); }
  at::Tensor classify(const at::Tensor& x) {
    return head ? head->forward(x) : fc(at::dropout(x, options.head_dropout, is_training()));
  }

  /// A module of what the first part uses and no more: the token and positions are registered beside all blocks.
  [[nodiscard]] std::shared_ptr<torch::nn::Module> embeddings_alone() const {
    auto alone = std::make_shared<torch::nn::Module>("Embeddings");
    alone->register_parameter("class_token", class_token, class_token.requires_grad());
    alone->register_parameter("positions", positions, positions.requires_grad());
    alone->register_module("patches", patches);
    return alone;
  }
};
TORCH_MODULE(VisionTransformer);

/// torchvision's ViT-B/16, with random weights: 86.6 million parameters for 1,000 classes.
///
/// In its published file the MLPs have names of before version 0.13, to be renamed:
///
///     auto model = thaw::models::vit_b_16();
///     thaw::load_weights(model, "vit_b_16-c867db91.pth", {.rename = {{"linear_1", "0"}, {"linear_2", "3"}}});
[[nodiscard]] inline VisionTransformer vit_b_16(const VitOptions& options = {}) {
  return VisionTransformer(options);
}

/// The same weights, but with position embeddings for the image size of `model`, which need not be that of the weights;
/// see resample_positions. `state` is a thaw::StateDict with the model's names. Throws ConfigError for position
/// embeddings that are not those of a class token and a square of patches.
///
///     auto model = thaw::models::deit_tiny_patch16_224({.image_size = 384});
///     const thaw::StateDict state = thaw::read_weights("deit_tiny_patch16_224-a1311bcf.pth");
///     thaw::load_weights(model, thaw::models::fit_positions(*model, state));
template <class State>
[[nodiscard]] State fit_positions(const VisionTransformerImpl& model, const State& state) {
  const std::int64_t side = model.options.image_size / model.options.patch_size;
  State fitted;
  for (const auto& [name, tensor] : state)
    fitted.insert(
        name, name == model.positions_name() ? resample_positions(tensor, side, side, model.options.names) : tensor);
  return fitted;
}

/// Where to cut a vision transformer into three layer groups:
///
///     embeddings, first half of the blocks    edges, textures, where things are
///     other half, last norm                   parts and objects
///     head                                    the model's, or the one that has replaced it
///
/// Example: `thaw::LayerGroups::cut_before(model, thaw::models::vit_cuts(*model))`.
[[nodiscard]] inline std::vector<std::string> vit_cuts(const VisionTransformerImpl& model) {
  return {model.block_name(model.options.depth / 2), model.head_name()};
}

/// Where to cut it into embeddings, each block (the last with the norm after it), and head: depth + 2 groups, those of
/// timm's layer-wise decay. Example: `.lr = thaw::DiscriminativeLR::layer_decay(1e-3, 0.75)`.
[[nodiscard]] inline std::vector<std::string> vit_layer_cuts(const VisionTransformerImpl& model) {
  std::vector<std::string> cuts;
  cuts.reserve(static_cast<std::size_t>(model.options.depth) + 1);
  for (std::int64_t i = 0; i < model.options.depth; ++i) cuts.push_back(model.block_name(i));
  cuts.push_back(model.head_name());
  return cuts;
}

}  // namespace thaw::models
