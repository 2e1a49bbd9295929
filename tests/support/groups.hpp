// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <catch2/catch_test_macros.hpp>
#include <map>
#include <string>
#include <thaw/groups/layer_groups.hpp>
#include <vector>

namespace thaw::test {

/// The names of a group's parameters.
inline std::vector<std::string> names(const LayerGroup& group) {
  std::vector<std::string> result;
  for (const GroupParameter& parameter : group.parameters) result.push_back(parameter.name);
  return result;
}

/// What a ConfigError says; empty if there is none.
std::string message(auto make) {
  try {
    (void)make();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

/// What every LayerGroups owes: no group empty; disjoint, and complete over parameters and buffers, a shared tensor
/// once; each group in the order of registration.
inline void check_partition(const LayerGroups& groups) {
  std::map<const at::TensorImpl*, std::size_t> order, once;
  for (const at::Tensor& tensor : groups.module()->parameters())
    order.emplace(tensor.unsafeGetTensorImpl(), order.size());
  const std::size_t parameters = order.size();
  for (const at::Tensor& tensor : groups.module()->buffers()) order.emplace(tensor.unsafeGetTensorImpl(), order.size());
  std::size_t found = 0;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    CAPTURE(i, groups[i].name);
    REQUIRE_FALSE(groups[i].parameters.empty());
    REQUIRE_FALSE(groups[i].name.empty());
    std::size_t last = 0;
    for (const GroupParameter& parameter : groups[i].parameters) {
      CAPTURE(parameter.name);
      REQUIRE(once.emplace(parameter.tensor.unsafeGetTensorImpl(), i).second);
      REQUIRE(order.at(parameter.tensor.unsafeGetTensorImpl()) >= last);
      REQUIRE(order.at(parameter.tensor.unsafeGetTensorImpl()) < parameters);
      last = order.at(parameter.tensor.unsafeGetTensorImpl());
      ++found;
    }
    for (const auto& [name, tensor] : groups[i].buffers) {
      CAPTURE(name);
      REQUIRE(once.emplace(tensor.unsafeGetTensorImpl(), i).second);
    }
  }
  REQUIRE(found == parameters);
  REQUIRE(once.size() == order.size());
}

}  // namespace thaw::test
