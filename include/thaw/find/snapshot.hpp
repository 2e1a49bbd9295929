#pragma once

#include <ATen/MemoryOverlap.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>
#include <c10/util/StringUtil.h>
#include <torch/nn/module.h>
#include <torch/optim/optimizer.h>
#include <torch/serialize/archive.h>

#include <exception>
#include <memory>
#include <sstream>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
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

/// Remembers all that training moves, and puts it back, bit for bit, when it goes out of scope: the module's and
/// the optimizer's parameters, their gradients and `requires_grad`, buffers, the training flag of every module, the
/// optimizer's options and state (absent state too), and the random generators of all devices.
///
/// Not covered: what a module keeps outside of parameters and buffers. The optimizer's options become new objects:
/// references to the old ones dangle. Throws ConfigError for an expanded tensor, and then nothing has changed.
class Snapshot {
 public:
  Snapshot(const torch::nn::Module& module, torch::optim::Optimizer& optimizer)
      : optimizer_(&optimizer), flags_(module) {
    for (const at::Tensor& tensor : module.parameters()) save(tensor);
    for (const auto& group : optimizer.param_groups()) {
      for (const at::Tensor& tensor : group.params()) save(tensor);
      options_.push_back(group.options().clone());
    }
    for (const at::Tensor& tensor : module.buffers()) save(tensor);
    for (const auto& [key, state] : optimizer.state()) state_.emplace(key, detail::deep_copy(*state));
    // Only now that nothing can fail any more: originals are kept aside, untouched.
    for (Saved& saved : tensors_)
      if (saved.grad.defined()) saved.tensor.mutable_grad() = at::Tensor();
    optimizer.state().swap(state_);
  }

  ~Snapshot() {
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
  }

  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

 private:
  struct Saved {
    at::Tensor tensor, value, grad;
    bool requires_grad;
  };

  /// Once, however often it is tied.
  void save(const at::Tensor& tensor) {
    if (!tensor.defined() || !seen_.insert(tensor.unsafeGetTensorImpl()).second) return;
    if (tensor.layout() == at::kStrided &&
        at::has_internal_overlap(tensor.unsafeGetTensorImpl()) == at::MemOverlap::Yes)
      throw ConfigError("Snapshot",
                        "a tensor of shape " + c10::str(tensor.sizes()) + " is expanded, and cannot be written",
                        "register it as tensor.contiguous()");
    tensors_.push_back({tensor, tensor.detach().clone(), tensor.grad(), tensor.requires_grad()});
  }

  torch::optim::Optimizer* optimizer_;
  std::vector<Saved> tensors_;
  std::unordered_set<const at::TensorImpl*> seen_;
  TrainingFlags flags_;
  RandomState random_;
  std::vector<std::unique_ptr<torch::optim::OptimizerOptions>> options_;
  std::remove_reference_t<decltype(std::declval<torch::optim::Optimizer&>().state())> state_;
};

}  // namespace thaw
