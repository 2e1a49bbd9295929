// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thaw/core/channel_statistics.hpp>
#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>
#include <thaw/models/convnext.hpp>
#include <thaw/models/efficientnet.hpp>
#include <thaw/models/efficientnet_lite.hpp>
#include <thaw/models/heads.hpp>
#include <thaw/models/mobilenet_v2.hpp>
#include <thaw/models/mobilenet_v3.hpp>
#include <thaw/models/resnet.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/loss.hpp>
#include <thaw/weights/export.hpp>
#include <thaw/weights/load.hpp>
#include <vector>

namespace example {

/// A network by its name: what a program needs that lets its user choose one.
struct Network {
  std::string name;
  std::vector<std::string> cuts;  ///< where its layer groups begin
  thaw::ChannelStatistics statistics;
  std::shared_ptr<torch::nn::Module> module;
  std::function<at::Tensor(const at::Tensor&)> forward;
  std::function<std::unique_ptr<thaw::Learner>(thaw::LearnerOptions)> learner;
  std::function<void(const std::filesystem::path&, const thaw::ExportInfo&)> export_to;
};

/// Every network is of a type of its own; what is done with it is the same.
template <class Model>
Network network(std::string name, Model model, std::vector<std::string> cuts, const thaw::ChannelStatistics& statistics,
                std::int64_t classes, const std::filesystem::path& weights) {
  if (!weights.empty()) thaw::load_weights(model, weights);  // strict: names all that does not fit
  // The plain head has no batch norm: with what is pretrained held, no statistics are left to go stale.
  thaw::models::replace_head(model, thaw::models::linear_head(model->head_features(), classes));
  return {.name = std::move(name),
          .cuts = cuts,
          .statistics = statistics,
          .module = model.ptr(),
          .forward = [model](const at::Tensor& x) mutable -> at::Tensor { return model->forward(x); },
          .learner =
              [model, cuts](thaw::LearnerOptions options) {
                return std::make_unique<thaw::Learner>(model, thaw::LayerGroups::cut_before(model, cuts),
                                                       thaw::cross_entropy, std::move(options));
              },
          .export_to = [model](const auto& path, const auto& info) { thaw::export_model(model, path, info); }};
}

/// The network of this name with a new head for so many classes. `weights`: of ImageNet's 1,000 classes, with which it
/// was pretrained; none are random ones. Throws ConfigError for a name that is none.
inline Network network(const std::string& name, std::int64_t classes, const std::filesystem::path& weights = {}) {
  using namespace thaw::models;
  const auto make = [&](auto model, std::vector<std::string> cuts,
                        const thaw::ChannelStatistics& statistics = thaw::imagenet_statistics) {
    return network(name, model, std::move(cuts), statistics, classes, weights);
  };
  const std::map<std::string, std::function<Network()>> known{
      {"efficientnet_lite0",
       [&] { return make(efficientnet_lite0(), efficientnet_lite_cuts(), thaw::lite_statistics); }},
      {"efficientnet_b0", [&] { return make(efficientnet_b0(), efficientnet_cuts()); }},
      {"mobilenet_v2", [&] { return make(mobilenet_v2(), mobilenet_v2_cuts()); }},
      {"mobilenet_v3_large", [&] { return make(mobilenet_v3_large(), mobilenet_v3_cuts()); }},
      {"resnet18", [&] { return make(resnet18(), resnet_cuts()); }},
      {"resnet34", [&] { return make(resnet34(), resnet_cuts()); }},
      {"resnet50", [&] { return make(resnet50(), resnet_cuts()); }},
      {"convnext_tiny", [&] { return make(convnext_tiny(), convnext_cuts()); }}};
  const auto found = known.find(name);
  if (found != known.end()) return found->second();
  std::vector<std::string> names;
  for (const auto& [each, make_it] : known) names.push_back(each);
  throw thaw::ConfigError("--model", "there is no \"" + name + "\"", "take one of " + thaw::join_names(names));
}

}  // namespace example
