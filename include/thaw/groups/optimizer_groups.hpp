// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/optim/adagrad.h>
#include <torch/optim/optimizer.h>

#include <ATen/ops/full_like.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/groups/layer_groups.hpp>
#include <thaw/groups/optimizer_options.hpp>
#include <thaw/schedule/schedule.hpp>

namespace thaw {

/// The optimizer groups for these layer groups: per layer group one with the parameters that decay, then one with
/// those that do not; empty ones are left out. All parameters are in, frozen or not.
[[nodiscard]] std::vector<torch::optim::OptimizerParamGroup> param_groups(const LayerGroups& groups);

/// Sees an optimizer's own groups as layer groups, matched by the identity of their tensors, and writes rates and
/// momentum into their live options. LibTorch's constructors must not be trusted with them: an option equal to its
/// class default counts as unset there, and gets the optimizer's default. Refers to the optimizer; holds no state.
class OptimizerGroups {
 public:
  /// Throws ConfigError for a parameter of the groups that the optimizer lacks or holds twice (`add_param_group` does
  /// not mind, and each step would move it twice), and for an optimizer group that spans several layer groups. Tensors
  /// of the optimizer that are in no layer group are left alone.
  OptimizerGroups(torch::optim::Optimizer& optimizer, const LayerGroups& groups);

  [[nodiscard]] torch::optim::Optimizer& optimizer() const { return *optimizer_; }
  [[nodiscard]] std::size_t size() const { return layer_groups_; }

  /// Sets the absolute rate of every layer group. Throws ConfigError for another number of rates, as `set` does.
  void set_lr(std::span<const double> lr) const;

  /// Sets what a schedule says for this step: `peak_lr` of every layer group times its multiplier, and its momentum
  /// where it has one. Throws ConfigError for what no optimizer can take.
  void set(const ScheduleValue& value, std::span<const double> peak_lr) const;

  /// The absolute rate of every layer group.
  [[nodiscard]] std::vector<double> lr() const;

  /// Sets SGD's and RMSprop's momentum, Adam's and AdamW's beta1; other optimizers have none and are left alone. Throws
  /// ConfigError outside [0, 1).
  void set_momentum(double momentum) const;

  /// The weight decay of a layer group's weights; none where the optimizer has none, or nothing in it decays.
  [[nodiscard]] std::optional<double> weight_decay(std::size_t layer_group) const;

  /// Sets it. Biases, norm layers and vectors, which do not decay, are left alone. Throws ConfigError for a number
  /// that is negative or not finite.
  void set_weight_decay(std::size_t layer_group, double decay) const;

  /// The momentum or beta1 in force; none where the optimizer has none.
  [[nodiscard]] std::optional<double> momentum() const;

 private:
  /// An optimizer group that belongs to a layer group.
  struct Member {
    std::size_t optimizer_group, layer_group;
    MomentumWriter write_momentum;
    bool decays;  // something in it does
  };

  void check(std::span<const double> lr) const;
  [[nodiscard]] torch::optim::OptimizerOptions& options(const Member& member) const {
    return optimizer_->param_groups()[member.optimizer_group].options();
  }
  template <class Visit>
  void each(Visit visit) const {
    for (const Member& member : members_) visit(member);
  }

  torch::optim::Optimizer* optimizer_;
  std::size_t layer_groups_;
  std::vector<Member> members_;
};

namespace detail {

/// LibTorch's Adagrad makes its state when it is made, and fails without.
std::unique_ptr<torch::optim::OptimizerParamState> fresh_adagrad_state(torch::optim::Optimizer& optimizer,
                                                                       const at::Tensor& parameter);

}  // namespace detail

/// Drops the optimizer's state of these parameters, so that they start afresh.
void forget_state(torch::optim::Optimizer& optimizer, std::span<const at::Tensor> parameters);

/// Drops all of the optimizer's state.
void forget_state(torch::optim::Optimizer& optimizer);

}  // namespace thaw

#if THAW_DEFINES(groups)

namespace thaw {

THAW_INLINE std::vector<torch::optim::OptimizerParamGroup> param_groups(const LayerGroups& groups) {
  std::vector<torch::optim::OptimizerParamGroup> result;
  for (const LayerGroup& group : groups)
    for (const bool decays : {true, false}) {
      std::vector<at::Tensor> tensors;
      for (const GroupParameter& parameter : group.parameters)
        if (parameter.decays == decays) tensors.push_back(parameter.tensor);
      if (!tensors.empty()) result.emplace_back(std::move(tensors));
    }
  return result;
}

THAW_INLINE void OptimizerGroups::set_lr(std::span<const double> lr) const {
  check(lr);
  each([&](const Member& m) { options(m).set_lr(lr[m.layer_group]); });
}

THAW_INLINE void OptimizerGroups::set(const ScheduleValue& value, std::span<const double> peak_lr) const {
  check(peak_lr);
  detail::check_value(value, "OptimizerGroups");
  each([&](const Member& m) {
    options(m).set_lr(peak_lr[m.layer_group] * value.lr);
    if (value.momentum && m.write_momentum) m.write_momentum(options(m), *value.momentum);
  });
}

THAW_INLINE std::vector<double> OptimizerGroups::lr() const {
  std::vector<double> rates(layer_groups_);
  each([&](const Member& m) { rates[m.layer_group] = options(m).get_lr(); });
  return rates;
}

THAW_INLINE void OptimizerGroups::set_momentum(double momentum) const {
  detail::check_value({1, momentum}, "OptimizerGroups");
  each([&](const Member& m) {
    if (m.write_momentum) m.write_momentum(options(m), momentum);
  });
}

THAW_INLINE std::optional<double> OptimizerGroups::weight_decay(std::size_t layer_group) const {
  std::optional<double> value;
  each([&](const Member& m) {
    if (m.layer_group == layer_group && m.decays) value = read_weight_decay(options(m));
  });
  return value;
}

THAW_INLINE void OptimizerGroups::set_weight_decay(std::size_t layer_group, double decay) const {
  if (!(std::isfinite(decay) && decay >= 0))
    throw ConfigError("OptimizerGroups", "a weight decay of " + detail::number(decay),
                      "give a finite number, 0 or more");
  each([&](const Member& m) {
    if (m.layer_group == layer_group && m.decays) write_weight_decay(options(m), decay);
  });
}

THAW_INLINE std::optional<double> OptimizerGroups::momentum() const {
  std::optional<double> value;
  each([&](const Member& m) { value = read_momentum(options(m)); });
  return value;
}

THAW_INLINE void OptimizerGroups::check(std::span<const double> lr) const {
  if (lr.size() != layer_groups_)
    throw ConfigError("OptimizerGroups",
                      std::to_string(lr.size()) + " rates for " + std::to_string(layer_groups_) + " layer groups",
                      "give one rate per layer group");
  for (const double rate : lr)
    if (!(std::isfinite(rate) && rate >= 0))
      throw ConfigError("OptimizerGroups", "a rate of " + detail::number(rate), "give finite rates, 0 or more");
}

THAW_INLINE OptimizerGroups::OptimizerGroups(torch::optim::Optimizer& optimizer, const LayerGroups& groups)
    : optimizer_(&optimizer), layer_groups_(groups.size()) {
  std::vector<std::optional<std::size_t>> owners(optimizer.param_groups().size());  // the layer group of each
  std::vector<bool> decays(owners.size());
  std::unordered_map<const at::TensorImpl*, std::size_t> optimizer_group, held_again;
  for (std::size_t i = 0; i < optimizer.param_groups().size(); ++i)
    for (const at::Tensor& tensor : optimizer.param_groups()[i].params())
      if (!optimizer_group.emplace(tensor.unsafeGetTensorImpl(), i).second)
        held_again.emplace(tensor.unsafeGetTensorImpl(), i);

  for (std::size_t g = 0; g < groups.size(); ++g)
    for (const GroupParameter& parameter : groups[g].parameters) {
      const auto found = optimizer_group.find(parameter.tensor.unsafeGetTensorImpl());
      if (found == optimizer_group.end())
        throw ConfigError("OptimizerGroups", "the optimizer does not hold \"" + parameter.name + "\"",
                          "build the optimizer from thaw::param_groups(groups), after the last change to the model");
      if (const auto again = held_again.find(found->first); again != held_again.end())
        throw ConfigError("OptimizerGroups",
                          "the optimizer holds \"" + parameter.name + "\" twice, in its groups " +
                              std::to_string(found->second) + " and " + std::to_string(again->second),
                          "add every parameter once: neither LibTorch's constructors nor add_param_group check");
      std::optional<std::size_t>& owner = owners[found->second];
      if (owner && *owner != g)
        throw ConfigError("OptimizerGroups",
                          "optimizer group " + std::to_string(found->second) + " spans the layer groups \"" +
                              groups[*owner].name + "\" and \"" + groups[g].name + "\"",
                          "build the optimizer from thaw::param_groups(groups), so that each has a rate of its own");
      owner = g;
      if (parameter.decays) decays[found->second] = true;
    }
  for (std::size_t i = 0; i < owners.size(); ++i)
    if (const auto& owner = owners[i])
      members_.push_back({i, *owner, momentum_writer(optimizer.param_groups()[i].options()), decays[i]});
}

}  // namespace thaw

namespace thaw::detail {

THAW_INLINE std::unique_ptr<torch::optim::OptimizerParamState> fresh_adagrad_state(torch::optim::Optimizer& optimizer,
                                                                                   const at::Tensor& parameter) {
  auto state = std::make_unique<torch::optim::AdagradParamState>();
  double initial = 0;
  for (const auto& group : optimizer.param_groups())
    if (std::ranges::any_of(group.params(), [&](const at::Tensor& held) { return held.is_same(parameter); }))
      initial = static_cast<const torch::optim::AdagradOptions&>(group.options()).initial_accumulator_value();
  state->step(0);
  state->sum(at::full_like(parameter.detach(), initial));
  return state;
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE void forget_state(torch::optim::Optimizer& optimizer, std::span<const at::Tensor> parameters) {
  for (const at::Tensor& parameter : parameters) {
    const auto found = optimizer.state().find(parameter.unsafeGetTensorImpl());
    if (found == optimizer.state().end()) continue;
    if (dynamic_cast<const torch::optim::AdagradParamState*>(found->second.get()))
      found->second = detail::fresh_adagrad_state(optimizer, parameter);
    else
      optimizer.state().erase(found);
  }
}

THAW_INLINE void forget_state(torch::optim::Optimizer& optimizer) {
  for (const auto& group : optimizer.param_groups()) forget_state(optimizer, group.params());
}

}  // namespace thaw

#endif
