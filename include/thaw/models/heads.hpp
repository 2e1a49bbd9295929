// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/adaptive_max_pool2d.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>
#include <torch/nn/pimpl.h>

#include <concepts>
#include <cstdint>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/first_line.hpp>

namespace thaw::models {

/// fastai's pooling: [N, C, H, W] -> [N, 2 C, 1, 1], first the maximum of every channel, then its mean.
struct AdaptiveConcatPool2dImpl : torch::nn::Cloneable<AdaptiveConcatPool2dImpl> {
  void reset() override {}
  at::Tensor forward(const at::Tensor& x) {
    return at::cat({std::get<0>(at::adaptive_max_pool2d(x, {1, 1})), at::adaptive_avg_pool2d(x, {1, 1})}, 1);
  }
};
TORCH_MODULE(AdaptiveConcatPool2d);

/// The options of fastai's create_head, with its defaults.
struct HeadOptions {
  std::vector<std::int64_t> hidden = {512};  ///< widths of the layers between features and classes
  double dropout = 0.5;                      ///< before the last layer, half of it before the others; 0 for none
  bool concat_pool = true;                   ///< maximum and mean of every channel, else the mean alone
  bool bn_final = false;                     ///< batch norm (momentum .01) of the logits
  bool pool = true;                          ///< false: features are [N, C] already; leaves out pooling and Flatten
};

namespace detail {

inline void check_head(const char* where, std::int64_t features, std::int64_t classes, double dropout) {
  if (features < 1)
    throw ConfigError(where, fmt::format("features is {}", features), "give the channels that the body puts out");
  if (classes < 1)
    throw ConfigError(where, fmt::format("classes is {}", classes), "give the number of classes, 1 or more");
  if (!(dropout >= 0 && dropout < 1))
    throw ConfigError(where, fmt::format("dropout is {}", dropout), "give a probability in [0, 1)");
}

}  // namespace detail

/// fastai's head for image classification: [N, features, H, W] -> logits [N, classes], by default
///
///     0 AdaptiveConcatPool2d    1 Flatten
///     2 BatchNorm1d(2 features) 3 Dropout(.25)  4 Linear(2 features, 512, no bias)  5 ReLU
///     6 BatchNorm1d(512)        7 Dropout(.5)   8 Linear(512, classes, no bias)
///
/// with fastai's initial values (linear weights normal with variance 2 / inputs, norm weights 1, norm biases .001) and
/// fastai's names in the state dict. Throws ConfigError for sizes below 1 and for a dropout outside [0, 1).
/// Source: fastai 2.8, vision/learner.py.
[[nodiscard]] inline torch::nn::Sequential create_head(std::int64_t features, std::int64_t classes,
                                                       const HeadOptions& options = {}) {
  detail::check_head("create_head", features, classes, options.dropout);
  torch::nn::Sequential head;
  if (options.pool) {
    if (options.concat_pool)
      head->push_back(AdaptiveConcatPool2d());
    else
      head->push_back(torch::nn::AdaptiveAvgPool2d(1));
    head->push_back(torch::nn::Flatten());
  }

  std::int64_t inputs = options.pool && options.concat_pool ? 2 * features : features;
  const auto add = [&](std::int64_t outputs, double dropout) {
    torch::nn::BatchNorm1d norm(inputs);
    torch::nn::init::constant_(norm->bias, 1e-3);
    torch::nn::Linear linear(torch::nn::LinearOptions(inputs, outputs).bias(false));
    torch::nn::init::kaiming_normal_(linear->weight);
    head->push_back(norm);
    if (dropout > 0) head->push_back(torch::nn::Dropout(dropout));
    head->push_back(linear);
    inputs = outputs;
  };
  for (const std::int64_t width : options.hidden) {
    if (width < 1) throw ConfigError("create_head", fmt::format("a hidden width is {}", width), "give 1 or more");
    add(width, options.dropout / 2);
    head->push_back(torch::nn::ReLU(torch::nn::ReLUOptions(/*inplace=*/true)));
  }
  add(classes, options.dropout);
  if (options.bn_final) head->push_back(torch::nn::BatchNorm1d(torch::nn::BatchNorm1dOptions(classes).momentum(0.01)));
  return head;
}

/// The plain head of most networks: mean of every channel (0), Flatten (1), Dropout (2), Linear with bias (3), with
/// LibTorch's initial values. [N, features, H, W] -> logits [N, classes]. Without `pool`, dropout (0) and linear (1)
/// alone: [N, features] -> logits. Throws ConfigError as create_head does.
[[nodiscard]] inline torch::nn::Sequential linear_head(std::int64_t features, std::int64_t classes,
                                                       double dropout = 0.2, bool pool = true) {
  detail::check_head("linear_head", features, classes, dropout);
  if (!pool) return torch::nn::Sequential(torch::nn::Dropout(dropout), torch::nn::Linear(features, classes));
  return torch::nn::Sequential(torch::nn::AdaptiveAvgPool2d(1), torch::nn::Flatten(), torch::nn::Dropout(dropout),
                               torch::nn::Linear(features, classes));
}

/// A network whose head can be replaced: `features(x)` is all of it but the head and gives [N, head_features(), H, W],
/// of a PooledBackbone [N, head_features()]; `set_head(head)` takes out the classifier and registers `head`, as the
/// last child, to be run on the features.
template <class Net>
concept Backbone = std::derived_from<Net, torch::nn::Module> &&
                   requires(Net& net, const at::Tensor& x, const torch::nn::Sequential& head) {
                     { net.features(x) } -> std::convertible_to<at::Tensor>;
                     { net.head_features() } -> std::convertible_to<std::int64_t>;
                     net.set_head(head);
                   };

/// A backbone whose features need no pooling: it says `static constexpr bool pooled_features = true;`.
template <class Net>
concept PooledBackbone = Backbone<Net> && requires { requires Net::pooled_features; };

namespace detail {

template <class Model>
[[nodiscard]] auto& backbone(Model& model) {
  static_assert(Backbone<std::remove_reference_t<decltype(*model)>>,
                "thaw: replace_head needs a model with features(Tensor), head_features() and set_head(Sequential); see "
                "thaw::models::Backbone, and EfficientNetLiteImpl for an example");
  if (!model) throw ConfigError("replace_head", "the model is null", "build it first");
  return *model;
}

/// Whether a network's features need no pooling, by its type or by what it says as it runs (see NetworkImpl).
template <class Net>
[[nodiscard]] bool pools_features(const Net& net) {
  if constexpr (requires { net.pools_features(); })
    return net.pools_features();
  else
    return PooledBackbone<Net>;
}

/// Tries a head on zeros; on feature maps only one that begins with adaptive pooling, since others may need maps of a
/// certain size.
inline void try_head(torch::nn::SequentialImpl& head, std::int64_t features, bool pooled) {
  const auto first = head.children().front();
  if (!pooled && !first->as<AdaptiveConcatPool2d>() && !first->as<torch::nn::AdaptiveAvgPool2d>() &&
      !first->as<torch::nn::AdaptiveMaxPool2d>())
    return;
  const at::NoGradGuard no_grad;
  const auto parameters = head.parameters();
  const auto like = parameters.empty() ? at::TensorOptions() : parameters.front().options();
  head.eval();
  try {
    const std::vector<std::int64_t> one_pixel{2, features, 1, 1}, vector{2, features};
    (void)head.forward(at::zeros(pooled ? vector : one_pixel, like));
  } catch (const c10::Error& error) {
    throw ConfigError(
        "replace_head",
        fmt::format("the head does not fit the model's {} features: {}", features, thaw::detail::first_line(error)),
        pooled ? "make it for [N, model->head_features()], without pooling"
               : "make it for model->head_features() channels, twice as many after AdaptiveConcatPool2d");
  }
}

/// Module::to(dtype) would make floats of integer buffers as well, such as batch norm's num_batches_tracked.
inline void to_device_and_dtype_of(const torch::nn::Module& model, torch::nn::Module& module) {
  for (const at::Tensor& like : model.parameters()) {
    if (!like.is_floating_point()) continue;
    module.to(like.device());
    const auto convert = [&](const at::Tensor& tensor) {
      if (tensor.is_floating_point()) tensor.set_data(tensor.to(like.scalar_type()));
    };
    for (const at::Tensor& parameter : module.parameters()) convert(parameter);
    for (const at::Tensor& buffer : module.buffers()) convert(buffer);
    return;
  }
}

}  // namespace detail

/// Replaces the model's last layers by `head`, which becomes its last child: "head.0...", in the state dict.
///
/// `model` is a torch::nn::ModuleHolder or std::shared_ptr of a Backbone. The head goes to the model's device, dtype
/// and train or eval mode. Layer groups and optimizers made before still hold the old layers, so load the weights,
/// replace the head, then make those. Throws ConfigError, the model unchanged, for an empty head and for one that does
/// not fit the features: of feature maps, only a head that begins with adaptive pooling is tried.
template <class Model>
void replace_head(Model model, torch::nn::Sequential head) {
  auto& net = detail::backbone(model);
  if (!head || head->is_empty())
    throw ConfigError("replace_head", "the head has no layers", "give create_head(...), linear_head(...) or your own");
  detail::try_head(*head, net.head_features(), detail::pools_features(net));
  detail::to_device_and_dtype_of(net, *head);
  head->train(net.is_training());
  net.set_head(head);
}

/// Replaces the model's last layers by fastai's head for so many classes, with random weights. See create_head for the
/// head, which is without pooling on a PooledBackbone (as fastai has it on timm's transformers), and above for the
/// rest. Throws ConfigError if `classes` is below 1, or for options out of range.
/// Example: `thaw::models::replace_head(model, 10);`
template <class Model>
void replace_head(Model model, std::int64_t classes, HeadOptions options = {}) {
  auto& net = detail::backbone(model);
  if (detail::pools_features(net)) options.pool = false;
  replace_head(model, create_head(net.head_features(), classes, options));
}

}  // namespace thaw::models
