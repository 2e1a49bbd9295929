// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <thaw/core/compiled.hpp>
#include <thaw/core/module_ptr.hpp>
#include <thaw/groups/layer_groups.hpp>
#include <thaw/report/table.hpp>

namespace thaw {

/// A layer, in the order in which they run: a module with parameters or buffers of its own; or an operator without,
/// such as pooling or attention, that counts multiply-adds or gives a tensor of another shape.
struct LayerSummary {
  std::string name;                       ///< of the module in the state dict; "(model)" of the model's own parameters
  std::string kind;                       ///< "Conv2d", "BatchNorm2d"; of an operator its name, "max_pool2d"
  std::vector<std::int64_t> output = {};  ///< shape of what it gave last; empty where it did not run
  std::int64_t parameters = 0;            ///< numbers in parameters of its own, shared ones in the first layer alone
  std::int64_t multiply_adds = 0;         ///< of convolutions, matrix products, attention; a bias counts for none
  std::int64_t bytes = 0;                 ///< of the new tensors that it and the operators behind it gave
  std::size_t group = 0;                  ///< index of the layer group that it is in, or behind
};

/// The same of a layer group, or of the whole model.
struct GroupSummary {
  std::string name;
  std::vector<std::int64_t> output = {};
  std::int64_t parameters = 0, multiply_adds = 0, bytes = 0;
};

/// What summary() gives. Prints as tables.
struct ModelSummary {
  std::vector<std::int64_t> input = {};  ///< shape of the first input
  std::vector<LayerSummary> layers = {};
  std::vector<GroupSummary> groups = {};  ///< none where no groups were given
  GroupSummary total = {};
};

namespace detail {

[[nodiscard]] ModelSummary summarized(torch::nn::Module& module, const LayerGroups* groups, const at::Tensor& input,
                                      const std::function<void()>& run);

template <class Model, class... Inputs>
[[nodiscard]] ModelSummary summary_of(Model& model, const LayerGroups* groups, const at::Tensor& x,
                                      const Inputs&... more) {
  static_assert(
      requires { model->forward(x, more...); },
      "thaw: summary(model, example...) needs a model whose `forward` takes such tensors");
  return summarized(*module_ptr(model), groups, x, [&] { (void)model->forward(x, more...); });
}

}  // namespace detail

/// Runs any model once on an example, and says of each layer what it gave: output shapes, parameters, multiply-adds
/// (one for each product that is added; fvcore and torchinfo call them flops and mult-adds), and bytes of activations,
/// which training keeps for the backward pass. All of them are of this example: of a batch of 8, eight times those
/// of 1.
///
/// Modules need no hooks: LibTorch tells of each operator that runs, and an operator belongs to the module whose
/// parameters it reads; one that reads none, to the module before it. Other operators than those named, as FFTs, count
/// for no multiply-adds. The model runs in evaluation mode without gradients; modes, buffers and random generators are
/// left as they were. `model` is a module holder or shared_ptr.
/// Example: `fmt::print("{}", thaw::summary(model, at::zeros({1, 3, 224, 224})));`
template <class Model, std::same_as<at::Tensor>... Inputs>
[[nodiscard]] ModelSummary summary(Model model, const at::Tensor& x, const Inputs&... more) {
  return detail::summary_of(model, nullptr, x, more...);
}

/// The same with the sums of each layer group: an operator without parameters counts to the group before it.
template <class Model, std::same_as<at::Tensor>... Inputs>
[[nodiscard]] ModelSummary summary(Model model, const LayerGroups& groups, const at::Tensor& x, const Inputs&... more) {
  return detail::summary_of(model, &groups, x, more...);
}

/// One row per layer.
[[nodiscard]] Table layers_table(const ModelSummary& summary);
/// One row per layer group, and one for all.
[[nodiscard]] Table groups_table(const ModelSummary& summary);
/// The table of layers, that of groups, and the input's shape. Ends with a line break.
[[nodiscard]] std::string to_text(const ModelSummary& summary);

}  // namespace thaw

/// `fmt::print("{}", summary)` prints its tables.
template <>
struct fmt::formatter<thaw::ModelSummary> {
  constexpr auto parse(format_parse_context& context) { return context.begin(); }
  template <class Context>
  auto format(const thaw::ModelSummary& summary, Context& context) const {
    return fmt::format_to(context.out(), "{}", thaw::to_text(summary));
  }
};

#if THAW_DEFINES(report)

#include <c10/core/StorageImpl.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <thaw/core/try_out.hpp>
#include <thaw/report/detail/numbers.hpp>
#include <thaw/report/detail/operator_log.hpp>

namespace thaw::detail {

/// "Conv2d" of "torch::nn::Conv2dImpl".
[[nodiscard]] THAW_INLINE std::string kind_of(const torch::nn::Module& module) {
  std::string name = module.name();
  if (const std::size_t colon = name.find_last_of(':', name.find('<')); colon != std::string::npos)
    name.erase(0, colon + 1);
  if (name.ends_with("Impl")) name.erase(name.size() - 4);
  return name;
}

/// Makes layers of operators.
class LayerWriter {
 public:
  LayerWriter(const torch::nn::Module& module, const LayerGroups* groups) {
    std::unordered_map<const at::TensorImpl*, std::size_t> group_of;
    for (std::size_t i = 0; groups != nullptr && i < groups->size(); ++i)
      for (const GroupParameter& parameter : (*groups)[i].parameters)
        group_of.emplace(parameter.tensor.unsafeGetTensorImpl(), i);
    std::unordered_set<const at::TensorImpl*> counted;
    for (const auto& entry : module.named_modules("", /*include_self=*/true)) {
      LayerSummary layer{.name = entry.key().empty() ? "(model)" : entry.key(), .kind = kind_of(*entry.value())};
      bool owns = false;
      const auto own = [&](const at::Tensor& tensor) {  // of those that modules share, the first has it
        if (!tensor.defined() || !counted.insert(tensor.unsafeGetTensorImpl()).second) return false;
        if (tensor.has_storage()) owner_.emplace(storage(tensor), modules_.size());
        if (const auto found = group_of.find(tensor.unsafeGetTensorImpl()); found != group_of.end())
          layer.group = found->second;
        return owns = true;
      };
      for (const at::Tensor& parameter : entry.value()->parameters(/*recurse=*/false))
        if (own(parameter)) layer.parameters += parameter.numel();
      for (const at::Tensor& buffer : entry.value()->buffers(/*recurse=*/false)) (void)own(buffer);
      if (owns) modules_.emplace_back(std::move(layer), never);
    }
  }

  void add(const CalledOperator& called) {
    std::int64_t bytes = 0;
    for (const at::Tensor& output : called.outputs)
      if (output.has_storage() && is_new(called, output)) bytes += static_cast<std::int64_t>(output.storage().nbytes());
    const auto shape = called.outputs.empty() ? std::vector<std::int64_t>() : called.outputs[0].sizes().vec();
    const std::size_t owner = owner_of(called);
    if (owner != never) {
      if (modules_[owner].second == never) {
        modules_[owner].second = layers_.size();
        layers_.push_back(modules_[owner].first);
      }
      now_ = modules_[owner].second;
    } else if (now_ == never || called.multiply_adds > 0 || (bytes > 0 && shape != layers_[now_].output)) {
      const std::size_t group = now_ == never ? 0 : layers_[now_].group;
      layers_.push_back({.name = "", .kind = called.name, .group = group});
      now_ = layers_.size() - 1;
    }
    LayerSummary& layer = layers_[now_];
    if (owner != never || layer.output.empty()) layer.output = shape;
    layer.multiply_adds += called.multiply_adds;
    layer.bytes += bytes;
  }

  /// Those that ran, then those that did not.
  [[nodiscard]] std::vector<LayerSummary> layers() const {
    std::vector<LayerSummary> all = layers_;
    for (const auto& [layer, at] : modules_)
      if (at == never) all.push_back(layer);
    return all;
  }

 private:
  static constexpr std::size_t never = static_cast<std::size_t>(-1);

  static const c10::StorageImpl* storage(const at::Tensor& tensor) { return tensor.storage().unsafeGetStorageImpl(); }

  [[nodiscard]] std::size_t owner_of(const CalledOperator& called) const {
    for (const at::Tensor& input : called.inputs)
      if (input.has_storage())
        if (const auto found = owner_.find(storage(input)); found != owner_.end()) return found->second;
    return never;
  }

  /// No view, not in place, and not seen before. A weak reference keeps the storage's address from being used again,
  /// and none of its bytes.
  bool is_new(const CalledOperator& called, const at::Tensor& output) {
    const auto shares = [&](const at::Tensor& input) { return input.has_storage() && input.is_alias_of(output); };
    if (std::ranges::any_of(called.inputs, shares) || owner_.contains(storage(output))) return false;
    if (!seen_.insert(storage(output)).second) return false;
    addresses_.push_back(output.storage().getWeakStorageImpl());
    return true;
  }

  std::vector<std::pair<LayerSummary, std::size_t>> modules_;  // and where they stand among the layers
  std::unordered_map<const c10::StorageImpl*, std::size_t> owner_;
  std::vector<LayerSummary> layers_;
  std::size_t now_ = never;
  std::unordered_set<const c10::StorageImpl*> seen_;
  std::vector<c10::weak_intrusive_ptr<c10::StorageImpl>> addresses_;
};

THAW_INLINE ModelSummary summarized(torch::nn::Module& module, const LayerGroups* groups, const at::Tensor& input,
                                    const std::function<void()>& run) {
  const TryOut nothing_stays{module};
  module.eval();
  LayerWriter writer(module, groups);
  {
    const OperatorLog log([&](const CalledOperator& called) { writer.add(called); });
    run();
  }

  ModelSummary result{.input = input.sizes().vec(), .layers = writer.layers(), .total = {.name = "all"}};
  for (std::size_t i = 0; groups != nullptr && i < groups->size(); ++i)
    result.groups.push_back({.name = (*groups)[i].name});
  for (const LayerSummary& layer : result.layers) {
    const auto add = [&](GroupSummary& sum) {
      sum.parameters += layer.parameters;
      sum.multiply_adds += layer.multiply_adds;
      sum.bytes += layer.bytes;
      if (!layer.output.empty()) sum.output = layer.output;
    };
    add(result.total);
    if (groups != nullptr) add(result.groups[layer.group]);
  }
  return result;
}

[[nodiscard]] THAW_INLINE std::vector<std::string> summary_cells(const std::vector<std::int64_t>& output,
                                                                 std::int64_t parameters, std::int64_t multiply_adds,
                                                                 std::int64_t bytes) {
  const auto millions = [](std::int64_t n) { return fmt::format("{:.2f}", static_cast<double>(n) / 1e6); };
  return {output.empty() ? "did not run" : fmt::format("{}", fmt::join(output, " x ")), with_separators(parameters),
          millions(multiply_adds), millions(bytes)};
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE Table layers_table(const ModelSummary& summary) {
  Table table{.headers = {"layer", "kind", "output", "parameters", "mult-adds (M)", "activations (MB)"}};
  for (const LayerSummary& layer : summary.layers) {
    table.rows.push_back({layer.name, layer.kind});
    for (std::string& cell : detail::summary_cells(layer.output, layer.parameters, layer.multiply_adds, layer.bytes))
      table.rows.back().push_back(std::move(cell));
  }
  return table;
}

THAW_INLINE Table groups_table(const ModelSummary& summary) {
  Table table{.headers = {"group", "output", "parameters", "mult-adds (M)", "activations (MB)"}};
  const auto add = [&](const GroupSummary& group) {
    table.rows.push_back({group.name});
    for (std::string& cell : detail::summary_cells(group.output, group.parameters, group.multiply_adds, group.bytes))
      table.rows.back().push_back(std::move(cell));
  };
  for (const GroupSummary& group : summary.groups) add(group);
  add(summary.total);
  return table;
}

THAW_INLINE std::string to_text(const ModelSummary& summary) {
  return fmt::format("{}\n{}for an input of {}\n", to_text(layers_table(summary)), to_text(groups_table(summary)),
                     fmt::join(summary.input, " x "));
}

}  // namespace thaw

#endif
