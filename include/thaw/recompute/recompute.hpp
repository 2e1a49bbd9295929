// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/core/forward_part.hpp>
#include <thaw/core/glob.hpp>
#include <thaw/core/random_state.hpp>

namespace thaw {

/// Gradient checkpointing: a training step keeps what goes into a segment of the model and no activation within it.
/// The backward pass runs the segment once more, with the random numbers that it had, to get them back. That costs up
/// to one more forward pass, and saves most of the memory of activations.
///
///     thaw::Learner learner(model, groups, loss, {.train = train, .run_parts = thaw::Recompute{}});
///
/// A segment is a part of the model (see ForwardPart) with a weight of two dimensions or more, and the parts after it
/// that have none: norms, activations, pooling. The last segment is not recomputed, since backward begins there, nor is
/// a frozen one that no gradient goes through. Outputs, gradients, random generators and buffers are, bit for bit,
/// those of a plain pass. Gradients of gradients are refused.
///
/// Source: Chen et al. 2016, arXiv:1604.06174; torch.utils.checkpoint.
struct Recompute {
  /// Globs over the names of parts, for a layer group those of its modules: segments whose first part's name matches
  /// one are recomputed.
  std::vector<std::string> parts = {"*"};

  /// Runs the parts one after the other; x is the model's input. Throws ConfigError where `parts` matches none.
  ForwardPart::Tensors operator()(const std::vector<ForwardPart>& all, ForwardPart::Tensors x) const;
};

}  // namespace thaw

#if THAW_DEFINES(recompute)

namespace thaw::detail {

/// Parts that are recomputed together, as an autograd node can hold them.
struct Segment : torch::CustomClassHolder {
  std::vector<ForwardPart> parts;
  std::vector<GeneratorState> generators;  // before they ran
  std::ptrdiff_t count = 0;                // of parameters that train

  explicit Segment(std::span<const ForwardPart> parts_) : parts(parts_.begin(), parts_.end()) {}

  [[nodiscard]] ForwardPart::Tensors run(ForwardPart::Tensors x) const {
    for (const ForwardPart& part : parts) x = part.forward(x);
    return x;
  }
  /// Its parameters that train, each once, however many parts share it.
  [[nodiscard]] std::vector<at::Tensor> parameters() const {
    std::vector<at::Tensor> result;
    for (const ForwardPart& part : parts)
      for (const auto& module : part.modules)
        for (const at::Tensor& parameter : module->parameters())
          if (parameter.requires_grad() &&
              std::ranges::none_of(result, [&](const at::Tensor& known) { return known.is_same(parameter); }))
            result.push_back(parameter);
    return result;
  }
  /// What a second run would move once more: statistics of norm layers in training mode.
  [[nodiscard]] std::vector<std::pair<at::Tensor, at::Tensor>> buffers() const {
    std::vector<std::pair<at::Tensor, at::Tensor>> result;
    for (const ForwardPart& part : parts)
      for (const auto& module : part.modules)
        for (const auto& each : module->modules())
          if (each->is_training())
            for (const at::Tensor& buffer : each->buffers(/*recurse=*/false))
              if (buffer.defined()) result.emplace_back(buffer, buffer.clone());
    return result;
  }
};

struct RecomputedSegment : torch::autograd::Function<RecomputedSegment> {
  using Variables = torch::autograd::variable_list;

  static Variables forward(torch::autograd::AutogradContext* context, const c10::intrusive_ptr<Segment>& segment,
                           at::TensorList parameters, at::TensorList input) {
    segment->generators = generator_states();
    context->saved_data["segment"] = c10::IValue::make_capsule(segment);
    Variables saved = parameters.vec();
    saved.insert(saved.end(), input.begin(), input.end());
    context->save_for_backward(std::move(saved));
    Variables output = segment->run(input.vec());
    for (at::Tensor& tensor : output)  // autograd takes no view of an input for an output
      if (std::ranges::any_of(input, [&](const at::Tensor& given) { return tensor.is_alias_of(given); }))
        tensor = tensor.clone();
    return output;
  }

  static Variables backward(torch::autograd::AutogradContext* context, const Variables& gradients) {
    if (c10::GradMode::is_enabled())
      throw ConfigError("Recompute", "gradients of gradients are asked for", "train without Recompute");
    const auto& segment = *static_cast<const Segment*>(context->saved_data["segment"].toCapsule().get());
    Variables sources = context->get_saved_variables();  // parameters, then inputs, which are cut off what made them
    Variables input(sources.begin() + segment.count, sources.end());
    for (at::Tensor& each : input) each = each.detach().set_requires_grad(each.requires_grad());
    std::ranges::copy(input, sources.begin() + segment.count);

    const auto buffers = segment.buffers();
    Variables output;
    {
      const RandomState now;
      set_generator_states(segment.generators);
      const c10::AutoGradMode with_gradients(true);
      output = segment.run(input);
    }
    Variables roots, weights, wanted, result(1);  // none for the segment
    for (std::size_t i = 0; i < output.size(); ++i) {
      if (!gradients[i].defined() || !output[i].requires_grad()) continue;
      roots.push_back(output[i]);
      weights.push_back(gradients[i]);
    }
    std::ranges::copy_if(sources, std::back_inserter(wanted),
                         [](const at::Tensor& each) { return each.requires_grad(); });
    Variables found(wanted.size());
    if (!roots.empty())
      found = torch::autograd::grad(roots, wanted, weights, /*retain_graph=*/false, /*create_graph=*/false,
                                    /*allow_unused=*/true);
    for (const auto& [buffer, value] : buffers) buffer.copy_(value);
    for (auto next = found.begin(); const at::Tensor& each : sources)
      result.push_back(each.requires_grad() ? *next++ : at::Tensor());
    return result;
  }
};

/// Whether a part begins a segment: it has a weight of its own that is no vector.
inline bool begins_segment(const ForwardPart& part) {
  return std::ranges::any_of(part.modules, [](const auto& module) {
    return std::ranges::any_of(module->parameters(), [](const at::Tensor& p) { return p.dim() > 1; });
  });
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE ForwardPart::Tensors Recompute::operator()(const std::vector<ForwardPart>& all,
                                                       ForwardPart::Tensors x) const {
  const auto matches = [&](const ForwardPart& part) {
    return std::ranges::any_of(parts, [&](const std::string& glob) { return glob_match(glob, part.name); });
  };
  if (std::ranges::none_of(all, matches))
    throw ConfigError("Recompute", "no part of the model has a name that `parts` matches",
                      "give globs over the names of its parts: " +
                          (all.empty() ? "it has none" : "\"" + all.front().name + "\" is the first"));
  for (auto begin = all.begin(); begin != all.end();) {
    const auto end = std::find_if(begin + 1, all.end(), detail::begins_segment);
    const auto segment = c10::make_intrusive<detail::Segment>(std::span(begin, end));
    const std::vector<at::Tensor> trained = segment->parameters();
    segment->count = std::ssize(trained);
    const bool has_gradient =
        c10::GradMode::is_enabled() &&
        (!trained.empty() || std::ranges::any_of(x, [](const at::Tensor& each) { return each.requires_grad(); }));
    if (has_gradient && end != all.end() && matches(*begin))
      x = detail::RecomputedSegment::apply(segment, at::TensorList(trained), at::TensorList(x));
    else
      x = segment->run(std::move(x));
    begin = end;
  }
  return x;
}

}  // namespace thaw

#endif
