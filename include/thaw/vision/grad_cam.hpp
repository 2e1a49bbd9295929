// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/forward_part.hpp>
#include <thaw/core/module_ptr.hpp>
#include <thaw/vision/detail/look.hpp>

namespace thaw::vision {

struct GradCamOptions {
  std::string part =
      {};  ///< whose maps are looked at (see ForwardPart); the last that has more than one pixel if empty
  std::optional<std::int64_t> class_index = {};  ///< which class to explain; of each image the predicted one if empty
  /// Makes maps [N, C, h, w] of what the part gives, where that is something else: the tokens of a transformer.
  std::function<at::Tensor(const at::Tensor&)> to_maps = {};
};

/// Where a model looks.
struct GradCam {
  at::Tensor maps;           ///< [N, h, w] at the part's resolution, 0 or more
  at::Tensor classes;        ///< [N] int64: which class was explained
  at::Tensor probabilities;  ///< [N]: that the model gives to it
  std::string part;          ///< whose maps they are
};

namespace detail {

/// The last part that gives maps of more than one pixel for an image.
[[nodiscard]] inline std::string last_maps(const std::vector<ForwardPart>& parts, const at::Tensor& image) {
  const c10::NoGradGuard no_grad;
  std::string last;
  ForwardPart::Tensors x{image.clone()};
  for (const ForwardPart& part : parts) {
    x = part.forward(x);
    if (x.back().dim() == 4 && x.back().size(2) * x.back().size(3) > 1) last = part.name;
  }
  if (last.empty())
    throw ConfigError("grad_cam", "no part of the model gives maps of more than one pixel",
                      "name a part, and say by to_maps how to make maps of what it gives");
  return last;
}

/// Each image's logit of its class; of a single logit, class 0's is its negative.
[[nodiscard]] inline at::Tensor logits_of(const at::Tensor& output, const at::Tensor& classes) {
  if (output.size(1) == 1) return output.squeeze(1) * (2 * classes - 1);
  return output.gather(1, classes.unsqueeze(1)).squeeze(1);
}

[[nodiscard]] inline at::Tensor classes_of(const at::Tensor& output, const std::optional<std::int64_t>& wanted) {
  if (output.dim() != 2)
    throw ConfigError("grad_cam", "the model's output has " + std::to_string(output.dim()) + " dimensions",
                      "give a model of logits [N, classes]");
  const std::int64_t classes = output.size(1) == 1 ? 2 : output.size(1);
  if (wanted && (*wanted < 0 || *wanted >= classes))
    throw ConfigError("grad_cam", "class " + std::to_string(*wanted) + " of " + std::to_string(classes),
                      "classes are numbered from 0");
  const at::Tensor predicted = output.size(1) == 1 ? output.squeeze(1).gt(0).to(at::kLong) : output.argmax(1);
  return wanted ? predicted.new_full(predicted.sizes(), *wanted) : predicted;
}

[[nodiscard]] inline GradCam grad_cam(torch::nn::Module& module, std::vector<ForwardPart> parts, at::Tensor images,
                                      const GradCamOptions& options) {
  const Look look(module);
  if (images.dim() != 4 || images.size(0) == 0)
    throw DataError("grad_cam", "images of " + std::to_string(images.dim()) + " dimensions", "give [N, C, H, W]");
  images = images.detach().to(like_weights(module));
  const std::string part = options.part.empty() ? last_maps(parts, images.slice(0, 0, 1)) : options.part;
  const FrozenSplit split = split_behind("grad_cam", std::move(parts), part);

  auto between = split.features(images.clone()).as<ForwardPart::Tensors>();
  const at::Tensor activations = between.back() = between.back().detach().clone().requires_grad_();
  const at::Tensor output = split.output(between);
  const at::Tensor classes = classes_of(output.detach(), options.class_index);
  const at::Tensor gradients = torch::autograd::grad({logits_of(output, classes).sum()}, {activations})[0];

  const at::Tensor maps = maps_of("grad_cam", part, activations.detach(), options.to_maps);
  const at::Tensor weights =
      maps_of("grad_cam", part, gradients, options.to_maps).mean(at::IntArrayRef{2, 3}, /*keepdim=*/true);
  const at::Tensor probabilities =
      output.size(1) == 1 ? logits_of(output, classes).sigmoid() : logits_of(output.softmax(1), classes);
  return {.maps = (weights * maps).sum(1).relu(),
          .classes = classes,
          .probabilities = probabilities.detach(),
          .part = part};
}

}  // namespace detail

/// Which places of images speak for a class (Grad-CAM, arXiv:1610.02391, equations 1 and 2): of the maps A_k that a
/// part of the model gives, ReLU(sum_k w_k A_k), where w_k is the mean over A_k of the gradient of the class's logit.
/// For any model that can be run in parts (SplitForward) and gives logits [N, classes], or [N, 1] of two classes; it
/// sees each image by itself, in evaluation mode. A module's mode, gradients, requires_grad and the random generators
/// stay as they are. `images`: [N, C, H, W], as the model takes them. Throws ConfigError for a part that is not there
/// or gives no maps, and for a class out of range.
///
///     const auto cam = grad_cam(model, batch.input);
///     write_image(heat_map(to_image(batch.input[0][0], statistics), cam.maps[0]), "where.png");
template <class Model>
[[nodiscard]] GradCam grad_cam(Model model, const at::Tensor& images, const GradCamOptions& options = {}) {
  static_assert(SplitForward<Model>,
                "thaw: grad_cam needs a model that can be run in parts: a torch::nn::Sequential, or one with "
                "forward_parts(); see thaw::ForwardPart");
  return detail::grad_cam(*thaw::detail::module_ptr(model), forward_parts(model), images, options);
}

}  // namespace thaw::vision
