// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/optim/optimizer.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include <fmt/format.h>

#include <thaw/core/compiled.hpp>
#include <thaw/groups/layer_groups.hpp>
#include <thaw/groups/optimizer_options.hpp>
#include <thaw/report/detail/numbers.hpp>
#include <thaw/report/table.hpp>

namespace thaw {

namespace detail {

/// The modules that hold a group's parameters: "stem.0", or "stem.0 … stem.3".
[[nodiscard]] std::string module_range(const LayerGroup& group);

[[nodiscard]] const char* norm_name(Norm norm);

/// The different values, in the order of the optimizer's groups: "0.01, 0"; "-" where there are none.
[[nodiscard]] std::string joined_values(const std::vector<double>& values);

/// What the optimizer holds for a group: its rates and decays, each value once.
struct LiveOptions {
  std::vector<double> rates = {}, decays = {};

  LiveOptions(const LayerGroup& group, torch::optim::Optimizer& optimizer);
};

[[nodiscard]] Table groups_table(const LayerGroups& groups, torch::optim::Optimizer* optimizer);

}  // namespace detail

/// One row per layer group: its modules, its parameters and how many of them train now (`requires_grad`), and what its
/// norm layers do, with their number. Rate and decay are "-": they are the optimizer's.
[[nodiscard]] Table groups_table(const LayerGroups& groups);

/// The same with absolute rates and weight decays from the optimizer's live groups; "0.01, 0" is that of the
/// parameters that decay and of those that are exempt. "-" for what the optimizer does not hold or does not have.
[[nodiscard]] Table groups_table(const LayerGroups& groups, torch::optim::Optimizer& optimizer);

/// `groups_table(groups)` as text. Ends with a line break.
[[nodiscard]] std::string to_text(const LayerGroups& groups);

}  // namespace thaw

/// `fmt::print("{}", groups)` prints the table of groups, as `to_text(groups)` does.
template <>
struct fmt::formatter<thaw::LayerGroups> {
  constexpr auto parse(format_parse_context& context) { return context.begin(); }
  template <class Context>
  auto format(const thaw::LayerGroups& groups, Context& context) const {
    return fmt::format_to(context.out(), "{}", thaw::to_text(groups));
  }
};

#if THAW_DEFINES(report)

namespace thaw::detail {

THAW_INLINE std::string module_range(const LayerGroup& group) {
  const auto module = [](const GroupParameter& parameter) {
    const std::size_t dot = parameter.name.rfind('.');
    return dot == std::string::npos ? std::string{"(model)"} : parameter.name.substr(0, dot);
  };
  const std::string first = module(group.parameters.front()), last = module(group.parameters.back());
  return first == last ? first : first + " … " + last;
}

THAW_INLINE const char* norm_name(Norm norm) {
  return norm == Norm::hold ? "hold" : norm == Norm::track ? "track" : "train";
}

THAW_INLINE std::string joined_values(const std::vector<double>& values) {
  std::string text;
  for (std::size_t i = 0; i < values.size(); ++i) text += fmt::format("{}{:.3g}", i == 0 ? "" : ", ", values[i]);
  return text.empty() ? "-" : text;
}

THAW_INLINE LiveOptions::LiveOptions(const LayerGroup& group, torch::optim::Optimizer& optimizer) {
  std::unordered_set<const at::TensorImpl*> mine;
  for (const GroupParameter& parameter : group.parameters) mine.insert(parameter.tensor.unsafeGetTensorImpl());
  const auto add = [](std::vector<double>& values, double value) {
    if (std::ranges::find(values, value) == values.end()) values.push_back(value);
  };
  for (const auto& held : optimizer.param_groups()) {
    if (std::ranges::none_of(held.params(),
                             [&](const at::Tensor& t) { return mine.contains(t.unsafeGetTensorImpl()); }))
      continue;
    add(rates, held.options().get_lr());
    if (const std::optional<double> decay = read_weight_decay(held.options())) add(decays, *decay);
  }
}

THAW_INLINE Table groups_table(const LayerGroups& groups, torch::optim::Optimizer* optimizer) {
  Table table{.headers = {"group", "modules", "parameters", "trained", "rate", "decay", "norm"}};
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const LayerGroup& group = groups[i];
    std::int64_t trained = 0;
    for (const GroupParameter& parameter : group.parameters)
      if (parameter.tensor.requires_grad()) trained += parameter.tensor.numel();
    std::string rate = "-", decay = "-", norm = "-";
    if (optimizer != nullptr) {
      const LiveOptions live(group, *optimizer);
      rate = joined_values(live.rates);
      decay = joined_values(live.decays);
    }
    if (!group.norms.empty()) norm = fmt::format("{} ({})", norm_name(groups.norm_of(i)), group.norms.size());
    table.add(group.name, module_range(group), with_separators(group.numel()), with_separators(trained), rate, decay,
              norm);
  }
  return table;
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE Table groups_table(const LayerGroups& groups) {
  return detail::groups_table(groups, nullptr);
}

THAW_INLINE Table groups_table(const LayerGroups& groups, torch::optim::Optimizer& optimizer) {
  return detail::groups_table(groups, &optimizer);
}

THAW_INLINE std::string to_text(const LayerGroups& groups) {
  return to_text(groups_table(groups));
}

}  // namespace thaw

#endif
