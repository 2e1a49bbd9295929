// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/List.h>
#include <ATen/core/ivalue.h>
#include <c10/util/Type.h>
#include <torch/optim/optimizer.h>
#include <torch/serialize/archive.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <typeinfo>
#include <unordered_map>
#include <vector>

#include <thaw/core/error.hpp>

// An optimizer's own serialisation, which goes by the places of the parameters in its groups and does not look at the
// class. Names and class are written beside it, so that no state comes to another parameter or another optimizer.
namespace thaw::detail {

using ParameterNames = std::unordered_map<const at::TensorImpl*, std::string>;

/// For people, by the class of its options.
[[nodiscard]] inline std::string optimizer_kind(const torch::optim::Optimizer& optimizer) {
  const torch::optim::OptimizerOptions& options = optimizer.param_groups().at(0).options();
  const std::string name = c10::demangle(typeid(options).name());
  return name.substr(name.rfind(':') + 1);
}

/// The parameters' names in the optimizer's order, each after the number of its optimizer group: "0/stem.weight". A
/// tensor without a name has its number.
[[nodiscard]] inline std::vector<std::string> places_of(const torch::optim::Optimizer& optimizer,
                                                        const ParameterNames& names) {
  std::vector<std::string> places;
  for (std::size_t i = 0; i < optimizer.param_groups().size(); ++i)
    for (const at::Tensor& parameter : optimizer.param_groups()[i].params()) {
      const auto found = names.find(parameter.unsafeGetTensorImpl());
      places.push_back(std::to_string(i) + "/" +
                       (found != names.end() ? found->second : std::to_string(places.size())));
    }
  return places;
}

inline void write_optimizer(torch::serialize::OutputArchive& archive, const torch::optim::Optimizer& optimizer,
                            const ParameterNames& names) {
  optimizer.save(archive);
  archive.write("thaw_kind", c10::IValue(optimizer_kind(optimizer)));
  archive.write("thaw_places", c10::IValue(places_of(optimizer, names)));
}

/// Throws FileError where the archive is of another kind of optimizer, or of one whose groups hold other parameters.
/// `fix` says what else to do. One that was written without names passes.
inline void check_optimizer(torch::serialize::InputArchive& archive, const torch::optim::Optimizer& optimizer,
                            const ParameterNames& names, const std::string& file, const std::string& fix) {
  c10::IValue kind, places;
  const std::string own = optimizer_kind(optimizer);
  if (archive.try_read("thaw_kind", kind) && kind.toStringRef() != own)
    throw FileError(file, "its optimizer is another one: it has " + kind.toStringRef() + ", here it is " + own,
                    "build the Learner with the optimizer that it had; " + fix);
  if (!archive.try_read("thaw_places", places)) return;
  const auto then = places.to<std::vector<std::string>>(), now = places_of(optimizer, names);
  const auto [was, is] = std::ranges::mismatch(then, now);
  if (was == then.end() && is == now.end()) return;
  const auto text = [](const auto& place, const auto& end) {
    if (place == end) return std::string("no more parameters");
    const std::size_t slash = place->find('/');
    return "\"" + place->substr(slash + 1) + "\" in group " + place->substr(0, slash);
  };
  throw FileError(file,
                  "its optimizer has other groups: it holds " + text(was, then.end()) + " where the one here holds " +
                      text(is, now.end()),
                  "cut the layer groups as they were; " + fix);
}

}  // namespace thaw::detail
