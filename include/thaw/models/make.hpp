// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/container/sequential.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/models/network.hpp>

namespace thaw::models {

/// What the networks of make() have in common.
struct NetworkOptions {
  std::int64_t classes = 1000;
  std::int64_t in_channels = 3;
  std::optional<double> bn_eps = {};  ///< of EfficientNet, EfficientNet-lite and MobileNetV3; unset: the network's own
  /// Pixels of a side that a vision transformer has position embeddings for; unset: 224.
  std::optional<std::int64_t> image_size = {};
};

/// The names that make() knows, sorted: those of the functions in thaw::models that make networks for images.
[[nodiscard]] std::vector<std::string> network_names();

/// The network of this name, with random weights: `make("resnet34", {.classes = 10})` is
/// `resnet34({.classes = 10})`, as a type that all networks share. Throws ConfigError for a name that is not one of
/// network_names(), naming the nearest; for an option that this network does not have; and as the network does.
/// Example: `auto model = thaw::models::make(name); thaw::load_weights(model, path); replace_head(model, 10);`
[[nodiscard]] Network make(const std::string& name, const NetworkOptions& options = {});

/// Shapes of tensors by their names: those of a state dict.
using Shapes = std::map<std::string, std::vector<std::int64_t>>;

/// The same with the head that such tensors are of: the network's own classifier, linear_head's or create_head's for
/// `options.classes`, which is told by the tensors below "head.". Throws ConfigError where these are of another head.
[[nodiscard]] Network make(const std::string& name, const NetworkOptions& options, const Shapes& tensors);

}  // namespace thaw::models

#if THAW_DEFINES(models)

#include <fmt/format.h>

#include <cstddef>
#include <functional>
#include <initializer_list>
#include <utility>

#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>
#include <thaw/models/convnext.hpp>
#include <thaw/models/deit.hpp>
#include <thaw/models/efficientnet.hpp>
#include <thaw/models/efficientnet_lite.hpp>
#include <thaw/models/mobilenet_v2.hpp>
#include <thaw/models/mobilenet_v3.hpp>
#include <thaw/models/resnet.hpp>
#include <thaw/models/vit.hpp>

namespace thaw::models::detail {

using Maker = std::function<Network(const std::string& name, const NetworkOptions& options)>;

template <class Options>
[[nodiscard]] Options options_of(const std::string& name, const NetworkOptions& given) {
  Options options;
  options.classes = given.classes;
  options.in_channels = given.in_channels;
  const auto require = [&](bool holds, const char* option) {
    if (!holds) throw ConfigError("models::make", fmt::format("{} has no {}", name, option), "leave it unset");
  };
  if constexpr (requires { options.bn_eps; })
    options.bn_eps = given.bn_eps.value_or(options.bn_eps);
  else
    require(!given.bn_eps, "bn_eps");
  if constexpr (requires { options.patch_size; })
    options.image_size = given.image_size.value_or(options.image_size);
  else
    require(!given.image_size, "image_size: it takes images of any size");
  return options;
}

template <class Net, class Options, class Cuts>
[[nodiscard]] Maker maker(Net (*make_net)(const Options&), Cuts cuts,
                          const ChannelStatistics& statistics = imagenet_statistics) {
  return [=](const std::string& name, const NetworkOptions& options) {
    Net net = make_net(options_of<Options>(name, options));
    auto* of_net = net.get();  // lives as long as the network
    return Network(Architecture{name, [=] { return cuts(*of_net); }, statistics}, net);
  };
}

THAW_INLINE const std::map<std::string, Maker>& makers() {
  static const std::map<std::string, Maker> all = [] {
    const auto resnet = [](const auto&) { return resnet_cuts(); };
    const auto lite = [](const auto& net) { return efficientnet_lite_cuts(net.options); };
    const auto vit = [](const auto& net) { return vit_cuts(net); };
    std::map<std::string, Maker> by_name{
        {"resnet18", maker(resnet18, resnet)},
        {"resnet34", maker(resnet34, resnet)},
        {"resnet50", maker(resnet50, resnet)},
        {"resnet101", maker(resnet101, resnet)},
        {"resnext50_32x4d", maker(resnext50_32x4d, resnet)},
        {"wide_resnet50_2", maker(wide_resnet50_2, resnet)},
        {"efficientnet_b0", maker(efficientnet_b0, [](const auto&) { return efficientnet_cuts(); })},
        {"efficientnet_lite0", maker(efficientnet_lite0, lite, lite_statistics)},
        {"efficientnet_lite1", maker(efficientnet_lite1, lite, lite_statistics)},
        {"efficientnet_lite2", maker(efficientnet_lite2, lite, lite_statistics)},
        {"efficientnet_lite3", maker(efficientnet_lite3, lite, lite_statistics)},
        {"efficientnet_lite4", maker(efficientnet_lite4, lite, lite_statistics)},
        {"mobilenet_v2", maker(mobilenet_v2, [](const auto&) { return mobilenet_v2_cuts(); })},
        {"mobilenet_v3_large", maker(mobilenet_v3_large, [](const auto&) { return mobilenet_v3_cuts(); })},
        {"convnext_tiny", maker(convnext_tiny, [](const auto&) { return convnext_cuts(); })},
        {"vit_b_16", maker(vit_b_16, vit)},
        {"deit_tiny_patch16_224", maker(deit_tiny_patch16_224, vit)},
        {"deit_small_patch16_224", maker(deit_small_patch16_224, vit)}};
    return by_name;
  }();
  return all;
}

[[nodiscard]] THAW_INLINE Shapes shapes_of(const torch::nn::Module& module) {
  Shapes shapes;
  for (const auto& each : module.named_parameters()) shapes[each.key()] = each.value().sizes().vec();
  for (const auto& each : module.named_buffers()) shapes[each.key()] = each.value().sizes().vec();
  return shapes;
}

/// What create_head would have been given for such tensors, if they are its own: its layers without tensors tell
/// themselves by the numbers that are missing. See create_head for the order.
[[nodiscard]] THAW_INLINE HeadOptions head_options(const Shapes& head, std::int64_t features) {
  std::map<std::int64_t, std::vector<std::int64_t>> weights;  // by the layer's number
  for (const auto& [name, shape] : head)
    if (const std::size_t dot = name.find(".weight");
        dot > 0 && dot < 10 && name.find_first_not_of("0123456789") == dot)
      weights[std::stoll(name)] = shape;
  HeadOptions options{.hidden = {}, .dropout = 0};
  std::vector<std::int64_t> linears;
  for (const auto& [number, shape] : weights)
    if (shape.size() == 2) linears.push_back(number);
  if (linears.empty()) return options;
  const auto& [first, norm] = *weights.begin();
  options.pool = first > 0;
  options.concat_pool = norm == std::vector<std::int64_t>{2 * features};
  options.dropout = linears[0] - first == 2 ? 0.5 : 0;
  options.bn_final = weights.rbegin()->second.size() == 1;
  std::int64_t inputs = options.concat_pool ? 2 * features : features;
  for (std::size_t i = 0; i + 1 < linears.size(); ++i) {
    const auto& shape = weights[linears[i]];
    if (shape[1] != inputs) return {};  // nothing is allocated that the file does not hold
    options.hidden.push_back(inputs = shape[0]);
  }
  return options;
}

}  // namespace thaw::models::detail

namespace thaw::models {

THAW_INLINE std::vector<std::string> network_names() {
  std::vector<std::string> names;
  for (const auto& [name, maker] : detail::makers()) names.push_back(name);
  return names;
}

THAW_INLINE Network make(const std::string& name, const NetworkOptions& options) {
  const auto found = detail::makers().find(name);
  if (found == detail::makers().end())
    throw ConfigError("models::make", fmt::format("there is no network for images named \"{}\"", name),
                      fmt::format("did you mean \"{}\"? There are: {}", nearest_name(name, network_names()),
                                  join_names(network_names(), 99)));
  return found->second(name, options);
}

THAW_INLINE Network make(const std::string& name, const NetworkOptions& options, const Shapes& tensors) {
  Network network = make(name, options);
  Shapes wanted;  // of the file's head
  for (const auto& [tensor, shape] : tensors)
    if (tensor.starts_with("head.")) wanted[tensor.substr(5)] = shape;
  const Shapes own = detail::shapes_of(*network);
  if (wanted.empty() || own.contains("head." + wanted.begin()->first)) return network;
  const std::int64_t features = network->head_features(), classes = options.classes;
  for (const torch::nn::Sequential& head : {linear_head(features, classes, 0.2, !network->pools_features()),
                                            create_head(features, classes, detail::head_options(wanted, features))})
    if (detail::shapes_of(*head) == wanted) {
      replace_head(network, head);
      return network;
    }
  std::vector<std::string> names;
  for (const auto& [tensor, shape] : wanted) names.push_back("head." + tensor);
  throw ConfigError("models::make",
                    fmt::format("the tensors {} are of no head of linear_head or create_head for {} features and {} "
                                "classes",
                                join_names(names), features, classes),
                    "build the network as it was trained, by replace_head, and load its weights; or export it as "
                    "TorchScript, which has its layers");
}

}  // namespace thaw::models

#endif
