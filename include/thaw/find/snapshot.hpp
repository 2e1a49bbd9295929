// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/MemoryOverlap.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>
#include <c10/util/StringUtil.h>
#include <torch/nn/module.h>
#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/lbfgs.h>
#include <torch/optim/optimizer.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>
#include <torch/serialize/archive.h>

#include <deque>
#include <exception>
#include <memory>
#include <optional>
#include <sstream>
#include <type_traits>
#include <typeinfo>
#include <unordered_set>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/core/random_state.hpp>
#include <thaw/core/training_flags.hpp>

namespace thaw {

namespace detail {

// Gives a handle's owner a tensor of its own.
void own(at::Tensor& tensor);
void own(std::deque<at::Tensor>& tensors);
void own(std::optional<std::vector<at::Tensor>>& tensors);

/// Gives a state its own of all that is named, if it is a State, and not of a class that adds to that.
template <class State, class... Tensors>
bool own_if(torch::optim::OptimizerParamState& state, Tensors (State::*... tensors)() noexcept) {
  if (typeid(state) != typeid(State)) return false;
  (own((static_cast<State&>(state).*tensors)()), ...);
  return true;
}

/// A copy that shares no storage (LibTorch's own clone() copies tensor handles only); null for a state that is not of
/// LibTorch's optimizers, since what it holds is not known.
std::unique_ptr<torch::optim::OptimizerParamState> deep_copy(const torch::optim::OptimizerParamState& state);

/// Lets glibc keep what is freed at the top of its heap for the next step, up to 62 MB: it learns that, for the whole
/// process, from the largest block that it saw freed (M_TRIM_THRESHOLD in mallopt(3)), as from any tensor of that size.
/// With a snapshot's copies in the holes of the heap, each step of a sweep would otherwise give back and fetch tens of
/// megabytes page by page: a quarter more time, by benchmarks/lr_finder. The block is never touched; with another
/// allocator this does nothing.
void keep_heap();

/// What a state holds, by its serialisation, which every optimizer has.
class StateBytes {
 public:
  explicit StateBytes(torch::optim::OptimizerParamState& state);
  /// Into the state itself: a copy's tensors may be the state's own, and reading may go into those.
  void put_back();

 private:
  torch::optim::OptimizerParamState* state_;
  std::stringstream bytes_;
};

}  // namespace detail

/// Remembers all that training moves, and puts it back, bit for bit, when it goes out of scope: the module's and
/// the optimizer's parameters, their gradients and `requires_grad`, buffers, the training flag of every module, the
/// optimizer's options and state (absent state too), and the random generators of all devices.
///
/// Not covered: what a module keeps outside of parameters and buffers. The optimizer's options become new objects:
/// references to the old ones dangle. Throws ConfigError for an expanded tensor, and then nothing has changed.
class Snapshot {
 public:
  Snapshot(const torch::nn::Module& module, torch::optim::Optimizer& optimizer);

  ~Snapshot();

  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

 private:
  struct Saved {
    at::Tensor tensor, value, grad;
    bool requires_grad;
  };

  /// Once, however often it is tied.
  void save(const at::Tensor& tensor);

  torch::optim::Optimizer* optimizer_;
  std::vector<Saved> tensors_;
  std::unordered_set<const at::TensorImpl*> seen_;
  TrainingFlags flags_;
  RandomState random_;
  std::vector<std::unique_ptr<torch::optim::OptimizerOptions>> options_;
  std::remove_reference_t<decltype(std::declval<torch::optim::Optimizer&>().state())> state_;
  std::vector<detail::StateBytes> foreign_;
};

}  // namespace thaw

#if THAW_DEFINES(find)

namespace thaw::detail {

THAW_INLINE void own(at::Tensor& tensor) {
  if (tensor.defined()) tensor = tensor.detach().clone();
}

THAW_INLINE void own(std::deque<at::Tensor>& tensors) {
  for (at::Tensor& tensor : tensors) own(tensor);
}

THAW_INLINE void own(std::optional<std::vector<at::Tensor>>& tensors) {
  if (!tensors) return;
  for (at::Tensor& tensor : *tensors) own(tensor);
}

THAW_INLINE std::unique_ptr<torch::optim::OptimizerParamState> deep_copy(
    const torch::optim::OptimizerParamState& state) {
  using namespace torch::optim;
  std::unique_ptr<OptimizerParamState> copy = state.clone();
  using L = LBFGSParamState;
  const bool known =
      own_if(*copy, &AdamWParamState::exp_avg, &AdamWParamState::exp_avg_sq, &AdamWParamState::max_exp_avg_sq) ||
      own_if(*copy, &AdamParamState::exp_avg, &AdamParamState::exp_avg_sq, &AdamParamState::max_exp_avg_sq) ||
      own_if(*copy, &SGDParamState::momentum_buffer) || own_if(*copy, &AdagradParamState::sum) ||
      own_if(*copy, &RMSpropParamState::square_avg, &RMSpropParamState::momentum_buffer,
             &RMSpropParamState::grad_avg) ||
      own_if(*copy, &L::d, &L::H_diag, &L::prev_flat_grad, &L::old_dirs, &L::old_stps, &L::ro, &L::al);
  return known ? std::move(copy) : nullptr;
}

THAW_INLINE void keep_heap() {
  (void)at::empty({31 << 20}, at::kByte);
}

THAW_INLINE StateBytes::StateBytes(torch::optim::OptimizerParamState& state) : state_(&state) {
  torch::serialize::OutputArchive out;
  state.serialize(out);
  out.save_to(bytes_);
}

THAW_INLINE void StateBytes::put_back() {
  torch::serialize::InputArchive in;
  in.load_from(bytes_);
  state_->serialize(in);
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE Snapshot::Snapshot(const torch::nn::Module& module, torch::optim::Optimizer& optimizer)
    : optimizer_(&optimizer), flags_(module) {
  if (const auto parameters = module.parameters(); !parameters.empty() && parameters[0].is_cpu()) detail::keep_heap();
  for (const at::Tensor& tensor : module.parameters()) save(tensor);
  for (const auto& group : optimizer.param_groups()) {
    for (const at::Tensor& tensor : group.params()) save(tensor);
    options_.push_back(group.options().clone());
  }
  for (const at::Tensor& tensor : module.buffers()) save(tensor);
  for (const auto& [key, state] : optimizer.state()) {
    auto copy = detail::deep_copy(*state);
    if (!copy) {
      foreign_.emplace_back(*state);
      copy = state->clone();
    }
    state_.emplace(key, std::move(copy));
  }
  // Only now that nothing can fail any more: originals are kept aside, untouched.
  for (Saved& saved : tensors_)
    if (saved.grad.defined()) saved.tensor.mutable_grad() = at::Tensor();
  optimizer.state().swap(state_);
}

THAW_INLINE Snapshot::~Snapshot() {
  const c10::NoGradGuard no_grad;
  for (Saved& saved : tensors_) try {
      if (saved.tensor.is_leaf() && at::isFloatingType(saved.tensor.scalar_type()))
        saved.tensor.set_requires_grad(saved.requires_grad);
      saved.tensor.mutable_grad() = saved.grad;
      saved.tensor.copy_(saved.value);       // last: what it may fail at is no reason to lose the rest
    } catch (const std::exception& error) {  // a device that failed, say: whoever asked hears of that
      TORCH_WARN("thaw: a tensor could not be put back as it was: ", error.what());
    }
  for (std::size_t i = 0; i < options_.size(); ++i) optimizer_->param_groups()[i].set_options(std::move(options_[i]));
  optimizer_->state().swap(state_);
  for (detail::StateBytes& state : foreign_) try {
      state.put_back();
    } catch (const std::exception& error) {
      TORCH_WARN("thaw: an optimizer's state could not be put back as it was: ", error.what());
    }
}

THAW_INLINE void Snapshot::save(const at::Tensor& tensor) {
  if (!tensor.defined() || !seen_.insert(tensor.unsafeGetTensorImpl()).second) return;
  if (tensor.layout() == at::kStrided && at::has_internal_overlap(tensor.unsafeGetTensorImpl()) == at::MemOverlap::Yes)
    throw ConfigError("Snapshot",
                      "a tensor of shape " + c10::str(tensor.sizes()) + " is expanded, and cannot be written",
                      "register it as tensor.contiguous()");
  tensors_.push_back({tensor, tensor.detach().clone(), tensor.grad(), tensor.requires_grad()});
}

}  // namespace thaw

#endif
