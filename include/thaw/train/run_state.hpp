// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/scalar_tensor.h>
#include <c10/core/GradMode.h>
#include <c10/util/StringUtil.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/cast_problem.hpp>
#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>

namespace thaw {

/// All that a run needs to go on from where it is, by name: what a checkpoint holds. Parameters, buffers, optimizer,
/// frozen groups, rates, history, what callbacks remember, random generators, the place in the plan and in the data.
/// Tensors are handles: what is trained on meanwhile changes them. Not in it: what a module keeps outside of parameters
/// and buffers, the optimizer's options but rates and momentum, and data sources that cannot be run through again.
/// <thaw/checkpoint/checkpoint.hpp> writes it to files.
///
/// A program that resumes (Learner::resume) makes the same calls again, from its beginning: each `fit` that was done is
/// left out and gives the record that it gave, the one that was running goes on at its next step, and `find_lr` before
/// it gives the curve that it gave. Weights, optimizer, history and all that follows are, bit for bit, those of a run
/// that was never interrupted; on the same number of threads, and if the data gives the same batches again.
using RunState = std::map<std::string, at::Tensor>;

struct ResumeOptions {
  /// Refuse a model, an optimizer, a plan or callbacks that differ from the checkpoint's. Otherwise what fits by name
  /// and shape is taken, and the plan goes on at the same stage, epoch and step.
  bool strict = true;
};

/// Goes over what a run must remember, the same way when it is written down and when it is read again:
///
///     void on_run_state(const thaw::RunStateVisit& event) {
///       event.state("best", best_);             // writes best_ into a checkpoint, or reads it from one
///       event.state("since_best", since_best_);
///     }
///
/// Takes bool, integers, double, std::string, vectors of these, std::optional of all, and tensors. A tensor that is
/// read is on the CPU; `into` reads into one that is there. Reading a name that the checkpoint lacks throws FileError.
class StateVisitor {
 public:
  StateVisitor(RunState& state, bool reading, std::string prefix = "")
      : state_(&state), reading_(reading), prefix_(std::move(prefix)) {}

  [[nodiscard]] bool reading() const { return reading_; }
  /// Names below `name`.
  [[nodiscard]] StateVisitor in(const std::string& name) const { return {*state_, reading_, prefix_ + name + "/"}; }
  /// Whether it was written down.
  [[nodiscard]] bool has(const std::string& name) const { return state_->contains(prefix_ + name); }
  /// How many tensors there are in all.
  [[nodiscard]] std::size_t size() const { return state_->size(); }
  /// Whether `into` would take it.
  [[nodiscard]] bool fits(const std::string& name, const at::Tensor& value) const {
    return has(name) && found(name).sizes() == value.sizes();
  }
  /// "name [shape] Float".
  [[nodiscard]] static std::string described(const std::string& name, const at::Tensor& tensor) {
    return name + " " + c10::str(tensor.sizes()) + " " + c10::toString(tensor.scalar_type());
  }
  /// So every tensor below.
  [[nodiscard]] std::vector<std::string> described() const;

  /// An undefined tensor is not written, and what was not written is read as one.
  void operator()(const std::string& name, at::Tensor& value) const;

  /// Throws FileError unless `into` can read it: for another shape, and for numbers that the tensor's type cannot hold.
  void check(const std::string& name, const at::Tensor& value) const;

  /// Reads into the tensor itself, whose type, device and strides stay. Throws as `check` does.
  void into(const std::string& name, const at::Tensor& value) const;

  void operator()(const std::string& name, double& value) const { number(name, value, at::kDouble); }
  void operator()(const std::string& name, bool& value) const { number(name, value, at::kBool); }
  void operator()(const std::string& name, std::int64_t& value) const { number(name, value, at::kLong); }
  void operator()(const std::string& name, std::string& value) const { array(name, value, at::kByte); }
  void operator()(const std::string& name, std::vector<double>& values) const { array(name, values, at::kDouble); }
  void operator()(const std::string& name, std::vector<std::int64_t>& values) const { array(name, values, at::kLong); }
  void operator()(const std::string& name, std::vector<bool>& values) const;
  void operator()(const std::string& name, std::vector<std::string>& values) const;

  template <class T>
  void operator()(const std::string& name, std::optional<T>& value) const {
    if (!reading_) {
      if (value) (*this)(name, *value);
    } else if (has(name)) {
      (*this)(name, value.emplace());
    } else {
      value.reset();
    }
  }

 private:
  [[nodiscard]] FileError other_kind(const std::string& name) const {
    return {prefix_ + name, "is of another kind in the checkpoint", "resume with the program that wrote it"};
  }
  [[nodiscard]] const at::Tensor& found(const std::string& name) const;
  [[nodiscard]] at::Tensor found(const std::string& name, at::ScalarType type, std::int64_t dim) const;

  template <class T>
  void number(const std::string& name, T& value, at::ScalarType type) const {
    if (reading_)
      value = found(name, type, 0).template item<T>();
    else
      (*state_)[prefix_ + name] = at::scalar_tensor(value, at::TensorOptions(type));
  }

  /// std::vector or std::string.
  template <class Array>
  void array(const std::string& name, Array& values, at::ScalarType type) const {
    using T = typename Array::value_type;
    at::Tensor tensor = reading_ ? found(name, type, 1) : at::empty({std::ssize(values)}, type);
    auto* data = static_cast<T*>(tensor.mutable_data_ptr());
    if (reading_)
      values.assign(data, data + tensor.numel());
    else
      std::ranges::copy(values, data), (*state_)[prefix_ + name] = tensor;
  }

  RunState* state_;
  bool reading_;
  std::string prefix_;
};

}  // namespace thaw

#if THAW_DEFINES(train)

namespace thaw {

THAW_INLINE std::vector<std::string> StateVisitor::described() const {
  std::vector<std::string> result;
  for (const auto& [name, tensor] : *state_)
    if (name.starts_with(prefix_)) result.push_back(described(name.substr(prefix_.size()), tensor));
  return result;
}

THAW_INLINE void StateVisitor::operator()(const std::string& name, at::Tensor& value) const {
  if (!reading_) {
    if (value.defined()) (*state_)[prefix_ + name] = value.detach();
  } else {
    value = has(name) ? found(name) : at::Tensor();
  }
}

THAW_INLINE void StateVisitor::check(const std::string& name, const at::Tensor& value) const {
  constexpr auto fix = "build the model as it was when the checkpoint was written";
  if (found(name).sizes() != value.sizes())
    throw FileError(prefix_ + name,
                    c10::str("is ", found(name).sizes(), " in the checkpoint, and ", value.sizes(), " here"), fix);
  if (const std::string problem = detail::cast_problem(value, found(name)); !problem.empty())
    throw FileError(prefix_ + name, problem, fix);
}

THAW_INLINE void StateVisitor::into(const std::string& name, const at::Tensor& value) const {
  if (!reading_) {
    (*state_)[prefix_ + name] = value.detach();
    return;
  }
  check(name, value);
  const c10::NoGradGuard no_grad;
  value.detach().copy_(found(name));
}

THAW_INLINE void StateVisitor::operator()(const std::string& name, std::vector<bool>& values) const {
  std::vector<std::int64_t> wide(values.begin(), values.end());
  (*this)(name, wide);
  values.assign(wide.begin(), wide.end());
}

THAW_INLINE void StateVisitor::operator()(const std::string& name, std::vector<std::string>& values) const {
  std::string all;
  std::vector<std::int64_t> sizes;
  for (const std::string& value : values) all += value, sizes.push_back(std::ssize(value));
  (*this)(name, all);
  (*this)(name + " sizes", sizes);
  values.clear();
  std::size_t at = 0;
  for (const std::int64_t size : sizes) {
    if (size < 0 || static_cast<std::size_t>(size) > all.size() - at) throw other_kind(name);
    values.push_back(all.substr(at, static_cast<std::size_t>(size)));
    at += static_cast<std::size_t>(size);
  }
}

THAW_INLINE const at::Tensor& StateVisitor::found(const std::string& name) const {
  const auto place = state_->find(prefix_ + name);
  if (place == state_->end())
    throw FileError(prefix_ + name, "is not in the checkpoint", "resume with the program that wrote it");
  return place->second;
}

THAW_INLINE at::Tensor StateVisitor::found(const std::string& name, at::ScalarType type, std::int64_t dim) const {
  const at::Tensor& tensor = found(name);
  if (tensor.scalar_type() != type || tensor.dim() != dim) throw other_kind(name);
  return tensor.contiguous();
}

}  // namespace thaw

#endif
