// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <thaw/weights/rename.hpp>
#include <vector>

/// Tables for LoadOptions::rename, for networks that two publishers name differently. ResNets need none: timm's and
/// torchvision's names are the same.
namespace thaw::renames {

/// Vision transformers: timm's names to torchvision's, as vit_b_16 has them; thaw's DeiT has timm's names and needs
/// none. The head becomes "heads.head".
/// Example: `thaw::load_weights(vit_b_16(), "vit_base_patch16_224.pth", {.rename = thaw::renames::vit_from_timm()})`
[[nodiscard]] inline std::vector<Rename> vit_from_timm() {
  return {{"^cls_token$", "class_token"},
          {"^pos_embed$", "encoder.pos_embedding"},
          {"^patch_embed\\.proj\\.", "conv_proj."},
          {"^norm\\.", "encoder.ln."},
          {"^head\\.", "heads.head."},
          {"^blocks\\.(\\d+)\\.", "encoder.layers.encoder_layer_$1."},
          {"^(encoder\\.layers\\.\\w+\\.)norm(\\d)\\.", "$1ln_$2."},
          {"^(encoder\\.layers\\.\\w+\\.)attn\\.qkv\\.", "$1self_attention.in_proj_"},
          {"^(encoder\\.layers\\.\\w+\\.)attn\\.proj\\.", "$1self_attention.out_proj."},
          {"^(encoder\\.layers\\.\\w+\\.mlp\\.)fc1\\.", "$010."},
          {"^(encoder\\.layers\\.\\w+\\.mlp\\.)fc2\\.", "$013."}};  // $01 is $1 where a digit follows
}

/// The other way round: torchvision's names to timm's. The MLP's names of before torchvision 0.13 pass too.
[[nodiscard]] inline std::vector<Rename> vit_to_timm() {
  return {{"^class_token$", "cls_token"},
          {"^encoder\\.pos_embedding$", "pos_embed"},
          {"^conv_proj\\.", "patch_embed.proj."},
          {"^encoder\\.ln\\.", "norm."},
          {"^heads\\.head\\.", "head."},
          {"^encoder\\.layers\\.encoder_layer_(\\d+)\\.", "blocks.$1."},
          {"^(blocks\\.\\d+\\.)ln_(\\d)\\.", "$1norm$2."},
          {"^(blocks\\.\\d+\\.)self_attention\\.in_proj_", "$1attn.qkv."},
          {"^(blocks\\.\\d+\\.)self_attention\\.out_proj\\.", "$1attn.proj."},
          {"^(blocks\\.\\d+\\.mlp\\.)(0|linear_1)\\.", "$1fc1."},
          {"^(blocks\\.\\d+\\.mlp\\.)(3|linear_2)\\.", "$1fc2."}};
}

/// Blocks in each stage of EfficientNet-B0 and -lite0; of larger ones, count the file's "blocks.<stage>.<block>".
// NOLINTNEXTLINE(bugprone-throwing-static-initialization): seven numbers
inline const std::vector<std::int64_t> efficientnet_b0_blocks = {1, 2, 2, 3, 3, 4, 1};

namespace detail {

/// Calls `visit(stage, block, n)` for every block: the `n`th of all is the `block`th of its stage.
template <class Visit>
void each_block(const std::vector<std::int64_t>& blocks, const Visit& visit) {
  std::int64_t n = 0;
  for (std::size_t stage = 0; stage < blocks.size(); ++stage) {
    for (std::int64_t block = 0; block < blocks[stage]; ++block) visit(stage, block, n++);
  }
}

}  // namespace detail

/// EfficientNet, the lite family too: timm's names to those of efficientnet_pytorch, which thaw's EfficientNetLite has
/// as well; its efficientnet_b0 has torchvision's. timm numbers blocks within each of seven stages,
/// efficientnet_pytorch throughout, so say how many each stage has:
///
///     lite0, B0       {1, 2, 2, 3, 3, 4, 1}, as without
///     lite1, lite2    {1, 3, 3, 4, 4, 5, 1}
///     lite3           {1, 3, 3, 5, 5, 6, 1}
///     lite4           {1, 4, 4, 6, 6, 8, 1}
///
/// Example: `load_weights(lite0, "tf_efficientnet_lite0.pth", {.rename = renames::efficientnet_from_timm()})`
[[nodiscard]] inline std::vector<Rename> efficientnet_from_timm(
    const std::vector<std::int64_t>& blocks = efficientnet_b0_blocks) {
  std::vector<Rename> rules = {{"^conv_stem\\.", "_conv_stem."},
                               {"^bn1\\.", "_bn0."},
                               {"^conv_head\\.", "_conv_head."},
                               {"^bn2\\.", "_bn1."},
                               {"^classifier\\.", "_fc."},
                               {"^(blocks\\.\\d+\\.\\d+\\.)conv_dw\\.", "$1_depthwise_conv."},
                               {"^(blocks\\.\\d+\\.\\d+\\.)se\\.conv_(reduce|expand)\\.", "$1_se_$2."},
                               {"^(blocks\\.0\\.\\d+\\.)conv_pw\\.", "$1_project_conv."},  // the first stage does not
                               {"^(blocks\\.0\\.\\d+\\.)bn(\\d)\\.", "$1_bn$2."},          // expand
                               {"^(blocks\\.\\d+\\.\\d+\\.)conv_pw\\.", "$1_expand_conv."},
                               {"^(blocks\\.\\d+\\.\\d+\\.)conv_pwl\\.", "$1_project_conv."},
                               {"^(blocks\\.\\d+\\.\\d+\\.)bn1\\.", "$1_bn0."},
                               {"^(blocks\\.\\d+\\.\\d+\\.)bn2\\.", "$1_bn1."},
                               {"^(blocks\\.\\d+\\.\\d+\\.)bn3\\.", "$1_bn2."}};
  detail::each_block(blocks, [&](std::size_t stage, std::int64_t block, std::int64_t n) {
    rules.push_back({"^blocks\\." + std::to_string(stage) + "\\." + std::to_string(block) + "\\.",
                     "_blocks." + std::to_string(n) + "."});
  });
  return rules;
}

/// The other way round: efficientnet_pytorch's names, and those of thaw's EfficientNetLite, to timm's.
[[nodiscard]] inline std::vector<Rename> efficientnet_to_timm(
    const std::vector<std::int64_t>& blocks = efficientnet_b0_blocks) {
  std::vector<Rename> rules = {{"^_conv_stem\\.", "conv_stem."},
                               {"^_bn1\\.", "bn2."},
                               {"^_bn0\\.", "bn1."},
                               {"^_conv_head\\.", "conv_head."},
                               {"^_fc\\.", "classifier."}};
  detail::each_block(blocks, [&](std::size_t stage, std::int64_t block, std::int64_t n) {
    rules.push_back({"^_blocks\\." + std::to_string(n) + "\\.",
                     "blocks." + std::to_string(stage) + "." + std::to_string(block) + "."});
  });
  const std::vector<Rename> inside = {{"^(blocks\\.\\d+\\.\\d+\\.)_depthwise_conv\\.", "$1conv_dw."},
                                      {"^(blocks\\.\\d+\\.\\d+\\.)_se_(reduce|expand)\\.", "$1se.conv_$2."},
                                      {"^(blocks\\.0\\.\\d+\\.)_project_conv\\.", "$1conv_pw."},
                                      {"^(blocks\\.0\\.\\d+\\.)_bn(\\d)\\.", "$1bn$2."},
                                      {"^(blocks\\.\\d+\\.\\d+\\.)_expand_conv\\.", "$1conv_pw."},
                                      {"^(blocks\\.\\d+\\.\\d+\\.)_project_conv\\.", "$1conv_pwl."},
                                      {"^(blocks\\.\\d+\\.\\d+\\.)_bn2\\.", "$1bn3."},
                                      {"^(blocks\\.\\d+\\.\\d+\\.)_bn1\\.", "$1bn2."},
                                      {"^(blocks\\.\\d+\\.\\d+\\.)_bn0\\.", "$1bn1."}};
  rules.insert(rules.end(), inside.begin(), inside.end());
  return rules;
}

}  // namespace thaw::renames
