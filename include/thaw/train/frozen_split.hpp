// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/ops/allclose.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/core/forward_part.hpp>
#include <thaw/core/random_state.hpp>
#include <thaw/data/fields.hpp>
#include <thaw/data/source.hpp>
#include <thaw/groups/layer_groups.hpp>

namespace thaw {

/// A model cut in two: the leading parts of its forward pass that give the same for a sample each time, and the rest.
struct FrozenSplit {
  std::vector<ForwardPart> prefix = {}, suffix = {};
  std::string end = {};  ///< why the prefix ends where it does

  /// What the prefix makes of a model's input. Without gradients.
  [[nodiscard]] Fields features(const Fields& input) const;

  /// What the rest makes of features: the model's output. Leaves them as they are, even if it works in place.
  [[nodiscard]] Fields output(const Fields& features) const {
    return run(suffix, features.map([](const at::Tensor& tensor) { return tensor.clone(); }));
  }

  /// All parameters and buffers of the prefix.
  [[nodiscard]] std::vector<at::Tensor> tensors() const;

 private:
  static Fields run(const std::vector<ForwardPart>& parts, const Fields& input);
};

/// Runs the frozen part of a model in the place of FrozenSplit::features.
using FrozenForward = std::function<Fields(const Fields& input)>;
/// Makes one for a split; made anew when the frozen weights change.
using MakeFrozenForward = std::function<FrozenForward(const FrozenSplit&)>;

namespace detail {

using TensorSet = std::unordered_set<const at::TensorImpl*>;

/// What training moves while these groups are frozen: parameters that train, statistics of norm layers not held.
void add_moving(TensorSet& moving, const LayerGroups& groups, const std::vector<bool>& frozen, NormRule norm);

/// Tells whether anything happens to tensors: their version counters.
class Unchanged {
 public:
  explicit Unchanged(std::vector<at::Tensor> tensors) : tensors_(std::move(tensors)), versions_(versions()) {}
  explicit operator bool() const { return versions() == versions_; }

 private:
  [[nodiscard]] std::vector<std::pair<const void*, std::uint32_t>> versions() const;
  std::vector<at::Tensor> tensors_;
  std::vector<std::pair<const void*, std::uint32_t>> versions_;
};

/// What training moves of a part; empty where nothing.
std::string why_it_moves(const ForwardPart& part, const TensorSet& moving);

/// Runs a part on x, and puts back what that changes. Why it must run anew each time; empty when nothing says so.
std::string why_not_still(const ForwardPart& part, const TensorSet& moving, ForwardPart::Tensors& x);

/// Whether a sample's features are its own, whatever else is in its batch: those of half a batch against the whole's.
bool per_sample(const FrozenSplit& split, const Fields& example);

[[nodiscard]] bool same(const Fields& a, const Fields& b);

/// Whether two passes over the first samples differ, or draw random numbers. Throws DataError where there are none.
[[nodiscard]] bool augments(const DataSource::Indexed& source);

/// The longest prefix that holds nothing of `moving` and is, tried on an example in the modes that its modules are in,
/// a function of each sample alone.
FrozenSplit split_at_first_moving(std::vector<ForwardPart> parts, const TensorSet& moving, const Fields& example);

}  // namespace detail

/// Cuts a model, in the modes that its modules are in now, before the first part that trains, moves statistics or draws
/// random numbers: for a loop of one's own, after `apply` has frozen some groups. Tries parts on `example`, a batch of
/// inputs, and puts back what that changes. The model must outlive the split, and groups must stay frozen.
///
///     const thaw::FrozenSplit split = thaw::split_frozen(model, groups, images);
///     const thaw::Fields features = split.features(images);        // once
///     const at::Tensor logits = split.output(features);            // again and again
template <class Model>
[[nodiscard]] FrozenSplit split_frozen(Model model, const LayerGroups& groups, const Fields& example) {
  detail::TensorSet moving;
  detail::add_moving(moving, groups, groups.frozen(), groups.norm_rule());
  return detail::split_at_first_moving(forward_parts(model), moving, example);
}

}  // namespace thaw

#if THAW_DEFINES(train)

namespace thaw {

THAW_INLINE Fields FrozenSplit::features(const Fields& input) const {
  const c10::NoGradGuard no_grad;
  return run(prefix, input);
}

THAW_INLINE std::vector<at::Tensor> FrozenSplit::tensors() const {
  std::vector<at::Tensor> all;
  for (const ForwardPart& part : prefix)
    for (const auto& module : part.modules)
      for (const auto& list : {module->parameters(), module->buffers()})
        all.insert(all.end(), list.begin(), list.end());
  return all;
}

THAW_INLINE Fields FrozenSplit::run(const std::vector<ForwardPart>& parts, const Fields& input) {
  ForwardPart::Tensors x(input.begin(), input.end());
  for (const ForwardPart& part : parts) x = part.forward(x);
  return x;
}

}  // namespace thaw

namespace thaw::detail {

THAW_INLINE void add_moving(TensorSet& moving, const LayerGroups& groups, const std::vector<bool>& frozen,
                            NormRule norm) {
  for (std::size_t i = 0; i < groups.size(); ++i) {
    for (const GroupParameter& parameter : groups[i].parameters)
      if (parameter.trains(frozen[i], norm)) moving.insert(parameter.tensor.unsafeGetTensorImpl());
    if (norm.of(frozen[i]) != Norm::hold)
      for (const auto& layer : groups[i].norms)
        for (const at::Tensor& buffer : layer->buffers()) moving.insert(buffer.unsafeGetTensorImpl());
  }
}

THAW_INLINE std::vector<std::pair<const void*, std::uint32_t>> Unchanged::versions() const {
  std::vector<std::pair<const void*, std::uint32_t>> now;
  now.reserve(tensors_.size());
  for (const at::Tensor& tensor : tensors_)
    now.emplace_back(tensor.const_data_ptr(), tensor.is_inference() ? 0 : tensor._version());
  return now;
}

THAW_INLINE std::string why_it_moves(const ForwardPart& part, const TensorSet& moving) {
  const auto moves = [&](const at::Tensor& tensor) { return moving.contains(tensor.unsafeGetTensorImpl()); };
  for (const auto& module : part.modules) {
    if (std::ranges::any_of(module->parameters(), moves)) return "trains";
    if (std::ranges::any_of(module->buffers(), moves)) return "has running statistics that move";
  }
  return "";
}

THAW_INLINE std::string why_not_still(const ForwardPart& part, const TensorSet& moving, ForwardPart::Tensors& x) {
  if (std::string why = why_it_moves(part, moving); !why.empty()) return why;
  std::vector<at::Tensor> state, before;
  for (const auto& module : part.modules)
    for (const at::Tensor& buffer : module->buffers()) {
      state.push_back(buffer);
      before.push_back(buffer.clone());
    }
  const RandomState random;
  const Unchanged unchanged{state};
  x = part.forward(x);
  if (random.moved()) return "draws random numbers (dropout?)";
  if (unchanged) return "";
  for (std::size_t i = 0; i < state.size(); ++i) state[i].copy_(before[i]);
  return "changes its own state as it runs";
}

THAW_INLINE bool per_sample(const FrozenSplit& split, const Fields& example) {
  const std::int64_t samples = example[0].size(0);
  const auto half = [&](const at::Tensor& tensor) { return tensor.slice(0, 0, (samples + 1) / 2); };
  const Fields whole = split.features(example), alone = split.features(example.map(half));
  return std::ranges::equal(whole, alone, [&](const at::Tensor& all, const at::Tensor& some) {
    if (all.dim() == 0 || all.size(0) != samples) return false;
    const at::Tensor a = half(all).to(at::kFloat), b = some.to(at::kFloat);
    return at::allclose(a, b, 1e-2, 1e-2 * a.abs().mean().item<double>());
  });
}

THAW_INLINE bool same(const Fields& a, const Fields& b) {
  return std::ranges::equal(a, b, [](const at::Tensor& x, const at::Tensor& y) { return x.equal(y); });
}

THAW_INLINE bool augments(const DataSource::Indexed& source) {
  const RandomState random;
  const std::optional<Batch> first = source.in_order(0)(), again = source.in_order(1)();
  if (!first || !again)
    throw DataError("Cache", "the source's in_order() gives no batch",
                    "let it give each sample once, as often as asked");
  return random.moved() || !same(first->input, again->input);
}

THAW_INLINE FrozenSplit split_at_first_moving(std::vector<ForwardPart> parts, const TensorSet& moving,
                                              const Fields& example) {
  const c10::NoGradGuard no_grad;
  FrozenSplit split{.suffix = std::move(parts), .end = "all of it is frozen"};
  auto x = example.map([](const at::Tensor& tensor) { return tensor.clone(); }).as<ForwardPart::Tensors>();
  auto cut = split.suffix.begin();
  for (; cut != split.suffix.end(); ++cut)
    if (const std::string why = why_not_still(*cut, moving, x); !why.empty()) {
      split.end = "'" + cut->name + "' " + why;
      break;
    }
  split.prefix.assign(split.suffix.begin(), cut);
  if (!split.prefix.empty() && !per_sample(split, example)) {
    split.prefix.clear();
    split.end = "what the frozen parts make of a sample depends on the rest of its batch";
  } else {
    split.suffix.erase(split.suffix.begin(), cut);
  }
  return split;
}

}  // namespace thaw::detail

#endif
