#pragma once

#include <c10/core/GradMode.h>
#include <torch/nn/module.h>
#include <torch/optim/optimizer.h>
#include <torch/serialize/archive.h>

#include <memory>
#include <sstream>
#include <unordered_map>
#include <utility>
#include <vector>

#include <thaw/core/random_state.hpp>

namespace thaw {

namespace detail {

/// A copy that shares no storage. LibTorch's own clone() copies tensor handles only, so this one goes through the
/// state's serialisation, which every optimizer has.
inline std::unique_ptr<torch::optim::OptimizerParamState> deep_copy(const torch::optim::OptimizerParamState& state) {
  std::stringstream bytes;
  torch::serialize::OutputArchive out;
  state.serialize(out);
  out.save_to(bytes);
  torch::serialize::InputArchive in;
  in.load_from(bytes);
  auto copy = state.clone();
  copy->serialize(in);
  return copy;
}

}  // namespace detail

/// Remembers which modules are in training mode, and puts it back when it goes out of scope.
class TrainingFlags {
 public:
  explicit TrainingFlags(const torch::nn::Module& module) {
    for (const auto& m : module.modules()) modules_.emplace_back(m, m->is_training());
  }
  ~TrainingFlags() {
    for (const auto& [module, training] : modules_) module->train(training);  // parents first: train() goes down
  }
  TrainingFlags(const TrainingFlags&) = delete;
  TrainingFlags& operator=(const TrainingFlags&) = delete;

 private:
  std::vector<std::pair<std::shared_ptr<torch::nn::Module>, bool>> modules_;
};

/// Remembers all that training moves, and puts it back, bit for bit, when it goes out of scope: parameters, their
/// gradients and `requires_grad`, buffers, the training flag of every module, the optimizer's options and state
/// (absent state too), and the random generators of all devices.
///
/// Not covered: what a module keeps outside of parameters and buffers.
class Snapshot {
 public:
  Snapshot(const torch::nn::Module& module, torch::optim::Optimizer& optimizer)
      : optimizer_(&optimizer), flags_(module) {
    for (const at::Tensor& tensor : module.parameters()) {
      tensors_.push_back({tensor, tensor.detach().clone(), tensor.grad(), tensor.requires_grad()});
      tensors_.back().tensor.mutable_grad() = at::Tensor();  // the original gradient is kept aside, untouched
    }
    for (const at::Tensor& tensor : module.buffers())
      if (tensor.defined()) tensors_.push_back({tensor, tensor.detach().clone(), at::Tensor(), false});
    for (const auto& group : optimizer.param_groups()) options_.push_back(group.options().clone());
    for (auto& [key, state] : optimizer.state()) {
      auto working_copy = detail::deep_copy(*state);
      state_.emplace(key, std::exchange(state, std::move(working_copy)));
    }
  }

  ~Snapshot() {
    const c10::NoGradGuard no_grad;
    for (Saved& saved : tensors_) {
      saved.tensor.copy_(saved.value);
      if (saved.tensor.is_leaf() && at::isFloatingType(saved.tensor.scalar_type()))
        saved.tensor.set_requires_grad(saved.requires_grad);
      saved.tensor.mutable_grad() = saved.grad;
    }
    for (std::size_t i = 0; i < options_.size(); ++i) optimizer_->param_groups()[i].set_options(std::move(options_[i]));
    optimizer_->state().clear();
    for (auto& [key, state] : state_) optimizer_->state()[key] = std::move(state);
  }

  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

 private:
  struct Saved {
    at::Tensor tensor, value, grad;
    bool requires_grad;
  };

  torch::optim::Optimizer* optimizer_;
  std::vector<Saved> tensors_;
  TrainingFlags flags_;
  RandomState random_;
  std::vector<std::unique_ptr<torch::optim::OptimizerOptions>> options_;
  std::unordered_map<void*, std::unique_ptr<torch::optim::OptimizerParamState>> state_;
};

}  // namespace thaw
