// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>
#include <thaw/weights/passed_over.hpp>
#include <unordered_map>
#include <utility>
#include <vector>

namespace thaw {

/// Named tensors in the order of their file: what Python's `model.state_dict()` holds.
///
/// Every name is there once. Tensors are handles, as everywhere in LibTorch: copying a StateDict copies no numbers.
/// Example: `for (const auto& [name, tensor] : thaw::read_weights("resnet18.pth")) ...`
class StateDict {
 public:
  using value_type = std::pair<std::string, at::Tensor>;
  using const_iterator = std::vector<value_type>::const_iterator;

  /// Appends a tensor. Throws ConfigError if the name is taken.
  void insert(std::string name, at::Tensor tensor) {
    if (contains(name)) {
      throw ConfigError("StateDict::insert", fmt::format("the name '{}' is taken", name),
                        "give each tensor its own name");
    }
    places_.emplace(hash(name), entries_.size());
    entries_.emplace_back(std::move(name), std::move(tensor));
  }

  /// The tensor of that name, or nullptr.
  [[nodiscard]] const at::Tensor* find(const std::string& name) const {
    for (auto [place, end] = places_.equal_range(hash(name)); place != end; ++place) {
      const auto& [found, tensor] = entries_[place->second];
      if (found == name) return &tensor;
    }
    return nullptr;
  }

  [[nodiscard]] bool contains(const std::string& name) const { return find(name) != nullptr; }

  /// The tensor of that name. Throws ConfigError with the nearest name if there is none.
  [[nodiscard]] const at::Tensor& at(const std::string& name) const {
    if (const at::Tensor* tensor = find(name)) return *tensor;
    const std::string nearest = nearest_name(name, names());
    throw ConfigError("StateDict::at", fmt::format("no tensor '{}' among {}", name, size()),
                      nearest.empty() ? "fill it first" : fmt::format("did you mean '{}'?", nearest));
  }

  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> all;
    all.reserve(size());
    for (const auto& [name, tensor] : entries_) all.push_back(name);
    return all;
  }

  /// What the file holds beside the tensors.
  [[nodiscard]] const PassedOver& passed_over() const noexcept { return passed_over_; }
  void pass_over(const PassedOver& objects) { passed_over_.add(objects); }

  /// The tensors of the file that were not read, for they are sparse, quantised, nested or of a class with a layout of
  /// its own: names, and what makes each in Python, as "torch._utils._rebuild_sparse_tensor".
  [[nodiscard]] const std::map<std::string, std::string>& unreadable() const noexcept { return unreadable_; }
  void leave_out(std::string name, std::string what) { unreadable_.emplace(std::move(name), std::move(what)); }

  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
  [[nodiscard]] bool empty() const noexcept { return entries_.empty(); }
  [[nodiscard]] const_iterator begin() const noexcept { return entries_.begin(); }
  [[nodiscard]] const_iterator end() const noexcept { return entries_.end(); }

 private:
  static std::size_t hash(const std::string& name) { return std::hash<std::string>()(name); }

  std::vector<value_type> entries_;
  std::unordered_multimap<std::size_t, std::size_t> places_;  // by the name's hash: no second copy of the name
  std::map<std::string, std::string> unreadable_;
  PassedOver passed_over_;
};

namespace detail {

/// The same, under other names: `name_of(name)` gives the new one, or nullopt to leave the tensor out.
template <class NameOf>
[[nodiscard]] StateDict with_names(const StateDict& state, NameOf name_of) {
  StateDict result;
  for (const auto& [name, tensor] : state) {
    if (std::optional<std::string> other = name_of(name)) result.insert(std::move(*other), tensor);
  }
  for (const auto& [name, what] : state.unreadable()) {
    if (std::optional<std::string> other = name_of(name)) result.leave_out(std::move(*other), what);
  }
  result.pass_over(state.passed_over());
  return result;
}

}  // namespace detail

}  // namespace thaw
