// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/ops/empty_like.h>
#include <ATen/ops/from_blob.h>
#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/optimizer.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>
#include <torch/serialize/archive.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <typeinfo>
#include <utility>

#include <thaw/groups/layer_groups.hpp>
#include <thaw/groups/optimizer_groups.hpp>
#include <thaw/groups/optimizer_options.hpp>
#include <thaw/train/detail/optimizer_archive.hpp>
#include <thaw/train/run_state.hpp>

// What an optimizer remembers, in a checkpoint: of LibTorch's own by the names of the parameters, of others as the
// bytes that their own save() gives, in their own order.
namespace thaw::detail {

/// A tensor that goes with a parameter, laid out as the parameter is.
inline void visit_beside(const StateVisitor& state, const std::string& name, at::Tensor& value,
                         const at::Tensor& parameter) {
  state(name, value);
  if (!state.reading() || !value.defined()) return;
  const auto options = parameter.options().dtype(value.scalar_type()).requires_grad(false);
  const c10::NoGradGuard no_grad;
  value = value.sizes() == parameter.sizes() ? at::empty_like(parameter, options).copy_(value)
                                             : value.to(parameter.device());
}

inline void visit(const StateVisitor& state, torch::optim::AdamWParamState& s, const at::Tensor& parameter) {
  state("step", s.step());
  visit_beside(state, "exp_avg", s.exp_avg(), parameter);
  visit_beside(state, "exp_avg_sq", s.exp_avg_sq(), parameter);
  visit_beside(state, "max_exp_avg_sq", s.max_exp_avg_sq(), parameter);
}
inline void visit(const StateVisitor& state, torch::optim::AdamParamState& s, const at::Tensor& parameter) {
  state("step", s.step());
  visit_beside(state, "exp_avg", s.exp_avg(), parameter);
  visit_beside(state, "exp_avg_sq", s.exp_avg_sq(), parameter);
  visit_beside(state, "max_exp_avg_sq", s.max_exp_avg_sq(), parameter);
}
inline void visit(const StateVisitor& state, torch::optim::SGDParamState& s, const at::Tensor& parameter) {
  visit_beside(state, "momentum_buffer", s.momentum_buffer(), parameter);
}
inline void visit(const StateVisitor& state, torch::optim::RMSpropParamState& s, const at::Tensor& parameter) {
  state("step", s.step());
  visit_beside(state, "square_avg", s.square_avg(), parameter);
  visit_beside(state, "momentum_buffer", s.momentum_buffer(), parameter);
  visit_beside(state, "grad_avg", s.grad_avg(), parameter);
}
inline void visit(const StateVisitor& state, torch::optim::AdagradParamState& s, const at::Tensor& parameter) {
  state("step", s.step());
  visit_beside(state, "sum", s.sum(), parameter);
}

/// Of one parameter.
template <class State>
void visit_state(const StateVisitor& all, const std::string& name, torch::optim::Optimizer& optimizer,
                 const at::Tensor& parameter) {
  auto& states = optimizer.state();
  const auto found = states.find(parameter.unsafeGetTensorImpl());
  const StateVisitor state = all.in(name);
  bool there = !state.reading() && found != states.end();
  if (!state.reading() || state.has("there")) state("there", there);
  if (!there) {
    if (state.reading()) forget_state(optimizer, {&parameter, 1});
    return;
  }
  auto fresh = std::make_unique<State>();
  State& own = state.reading() ? *fresh : static_cast<State&>(*found->second);
  visit(state, own, parameter);
  if (state.reading()) states[parameter.unsafeGetTensorImpl()] = std::move(fresh);
}

using VisitParameter = void (*)(const StateVisitor&, const std::string&, torch::optim::Optimizer&, const at::Tensor&);

/// Null for options of another library's, and for LBFGS, whose state is of all parameters at once.
[[nodiscard]] inline VisitParameter state_of(const torch::optim::OptimizerOptions& options) {
  using namespace torch::optim;
  if (typeid(options) == typeid(AdamWOptions)) return visit_state<AdamWParamState>;
  if (typeid(options) == typeid(AdamOptions)) return visit_state<AdamParamState>;
  if (typeid(options) == typeid(SGDOptions)) return visit_state<SGDParamState>;
  if (typeid(options) == typeid(RMSpropOptions)) return visit_state<RMSpropParamState>;
  if (typeid(options) == typeid(AdagradOptions)) return visit_state<AdagradParamState>;
  return nullptr;
}

/// Whether LibTorch's own classes do not tell all that it remembers.
[[nodiscard]] inline bool has_foreign_state(torch::optim::Optimizer& optimizer) {
  using namespace torch::optim;
  for (const auto& group : optimizer.param_groups())
    if (state_of(group.options()) == nullptr) return true;
  for (const auto& [parameter, state] : optimizer.state()) {
    const OptimizerParamState& own = *state;
    if (typeid(own) != typeid(AdamWParamState) && typeid(own) != typeid(AdamParamState) &&
        typeid(own) != typeid(SGDParamState) && typeid(own) != typeid(RMSpropParamState) &&
        typeid(own) != typeid(AdagradParamState))
      return true;
  }
  return false;
}

/// Of what visit_optimizer wrote, the states that there are.
[[nodiscard]] inline RunState remembered(const RunState& optimizer) {
  RunState result;
  for (auto at = optimizer.begin(); at != optimizer.end(); ++at) {
    const auto& [name, there] = *at;
    if (!name.starts_with("state/") || !name.ends_with("/there") || !there.item<bool>()) continue;
    const std::string prefix = name.substr(0, name.size() - std::string("there").size());
    for (auto own = optimizer.lower_bound(prefix); own != optimizer.end() && own->first.starts_with(prefix); ++own)
      result.insert(*own);
  }
  return result;
}

/// By the optimizer's own serialisation.
inline void visit_archive(const StateVisitor& state, torch::optim::Optimizer& optimizer, const ParameterNames& names) {
  at::Tensor bytes;
  if (!state.reading()) {
    torch::serialize::OutputArchive archive;
    write_optimizer(archive, optimizer, names);
    std::stringstream stream;
    archive.save_to(stream);
    std::string text = stream.str();
    bytes = at::from_blob(text.data(), {std::ssize(text)}, at::kByte).clone();
  }
  state("archive", bytes);
  if (!state.reading()) return;
  std::stringstream stream(std::string(static_cast<const char*>(bytes.const_data_ptr()), bytes.nbytes()));
  torch::serialize::InputArchive archive;
  archive.load_from(stream);
  check_optimizer(archive, optimizer, names, "the checkpoint", "or begin a new run with weights alone");
  optimizer.state().clear();  // LibTorch would leave what the archive has no state for
  optimizer.load(archive);
}

/// All that an optimizer remembers, and each group's rate and momentum. Other options are the program's.
inline void visit_optimizer(const StateVisitor& state, torch::optim::Optimizer& optimizer, const LayerGroups& groups) {
  ParameterNames names;
  for (const LayerGroup& group : groups)
    for (const GroupParameter& parameter : group.parameters)
      names.emplace(parameter.tensor.unsafeGetTensorImpl(), parameter.name);
  std::string kind = optimizer_kind(optimizer);
  state("kind", kind);
  if (kind != optimizer_kind(optimizer)) return forget_state(optimizer);  // another optimizer's is of no use
  const bool own = state.reading() ? state.has("archive") : has_foreign_state(optimizer);
  for (std::size_t i = 0; i < optimizer.param_groups().size(); ++i) {
    auto& group = optimizer.param_groups()[i];
    const VisitParameter visit_parameter = state_of(group.options());
    std::string first;
    for (std::size_t j = 0; j < group.params().size(); ++j) {
      const at::Tensor& parameter = group.params()[j];
      const auto found = names.find(parameter.unsafeGetTensorImpl());
      const std::string name = found != names.end() ? found->second  // else a tensor of no layer group
                                                    : std::to_string(i) + "." + std::to_string(j);
      if (j == 0) first = name;
      if (!own && visit_parameter != nullptr) visit_parameter(state.in("state"), name, optimizer, parameter);
    }
    const StateVisitor options = state.in("groups").in(first);
    double lr = group.options().get_lr();
    std::optional<double> momentum = read_momentum(group.options());
    if (options.reading() && !options.has("lr")) continue;  // the groups were others
    options("lr", lr);
    options("momentum", momentum);
    group.options().set_lr(lr);
    if (momentum) write_momentum(group.options(), *momentum);
  }
  if (own) visit_archive(state, optimizer, names);
}

}  // namespace thaw::detail
