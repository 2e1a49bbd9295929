// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>
#include <thaw/data/source.hpp>
#include <thaw/train/learner.hpp>

namespace thaw::detail {

/// The index of the largest output along dimension 1; where that has one entry, a logit, class 1 of two where it is
/// > 0. Integers are classes already.
[[nodiscard]] inline at::Tensor predicted_classes(const at::Tensor& output) {
  if (c10::isIntegralType(output.scalar_type(), /*includeBool=*/true)) return output.to(at::kLong);
  if (output.dim() < 2)
    throw DataError("predictions", "the model's output has " + std::to_string(output.dim()) + " dimension(s)",
                    "let the model return [samples, classes], or give classes as integers");
  return output.size(1) == 1 ? output.squeeze(1).gt(0).to(at::kLong) : output.argmax(1);
}

/// Throws ConfigError for the source's own classes in another order.
inline void check_order(const char* where, const DataSource& source, std::vector<std::string> names) {
  std::vector<std::string> own = source.classes();
  if (names == own) return;
  std::ranges::sort(names);
  std::ranges::sort(own);
  if (!names.empty() && names == own)
    throw ConfigError(where, "the classes are in another order than the source's: " + join_names(source.classes()),
                      "give the list that the data was read with");
}

/// Whether samples are counted, or told apart by where they stand.
enum class Samples { counted, told_apart };

/// Calls `see(output, batch)` for each batch: of every sample once, in the source's own order; where they are counted
/// and there is no such order, as they come. Both are on the learner's device; leaves the module in evaluation mode.
/// Throws ConfigError as DataSource::in_order.
template <class See>
void see_all(const char* where, Samples samples, Learner& learner, const DataSource& source, See see) {
  BatchStream next;
  if (source) next = samples == Samples::told_apart || source.ordered() ? source.in_order() : source.stream();
  bool any = false;
  for (std::optional<Batch> batch; next && (batch = next()); any = true)
    see(learner.outputs(batch->input), batch->to(learner.device()));
  if (!any) throw DataError(where, "the source is empty", "give it at least one batch");
}

/// The class's name, or its number where it has none; "-" for none.
[[nodiscard]] inline std::string class_name(const std::vector<std::string>& classes, std::int64_t i) {
  if (i < 0) return "-";
  const auto at = static_cast<std::size_t>(i);
  return at < classes.size() ? classes[at] : std::to_string(i);
}

}  // namespace thaw::detail
