// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/isfinite.h>
#include <c10/core/ScalarType.h>

#include <string>

namespace thaw::detail {

/// Whether a finite number of `from` is none as `type`: 1e5 in half.
[[nodiscard]] inline bool overflows(const at::Tensor& from, at::ScalarType type) {
  const at::ScalarType narrow = c10::toRealValueType(type), wide = c10::toRealValueType(from.scalar_type());
  if (narrow == wide || narrow == at::kDouble || (narrow == at::kFloat && wide != at::kDouble)) return false;
  const auto finite = [](const at::Tensor& tensor) {
    return at::isfinite(c10::isFloat8Type(tensor.scalar_type()) ? tensor.to(at::kFloat) : tensor);
  };
  return finite(from).logical_and_(finite(from.to(type)).logical_not_()).any().item<bool>();
}

/// Why the numbers of `from` are not to be copied into a tensor like `to`, which LibTorch would do without a word:
/// integers (but single counts), bool and complex numbers are no real ones, and a finite number must not become
/// infinite. Precision may be lost. Integers take what they hold exactly. Empty where nothing is wrong. Reads numbers
/// where the type narrows only.
[[nodiscard]] inline std::string cast_problem(const at::Tensor& to, const at::Tensor& from) {
  const at::ScalarType type = to.scalar_type(), found = from.scalar_type();
  if (type == found) return "";
  const std::string types = std::string(c10::toString(found)) + ", the model's is " + c10::toString(type);
  if (c10::isIntegralType(type, /*includeBool=*/true)) {
    const bool exact =
        (c10::isIntegralType(found, true) || c10::isFloatingType(found)) && from.to(type).to(found).equal(from);
    return exact ? "" : "is " + types + ", which cannot hold its numbers";
  }
  // counts: Module::to(dtype) of LibTorch makes batch norm's a real number, as Python's does not
  const bool count = from.dim() == 0 && c10::isIntegralType(found, /*includeBool=*/false);
  const bool same_kind = count || c10::isFloatingType(found) || (c10::isComplexType(found) && c10::isComplexType(type));
  if (!same_kind || !(c10::isFloatingType(type) || c10::isComplexType(type)))
    return "is " + types + ": another kind of number";
  return overflows(from, type) ? "is " + types + ", in which some of its numbers are infinite" : "";
}

}  // namespace thaw::detail
