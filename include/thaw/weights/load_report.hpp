// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <thaw/weights/passed_over.hpp>
#include <vector>

namespace thaw {

/// A tensor whose shape in the file is not the model's.
struct ShapeMismatch {
  std::string name;
  std::vector<std::int64_t> expected;  ///< the model's
  std::vector<std::int64_t> found;     ///< the file's
};

/// What load_weights did, tensor by tensor. Names are the model's.
struct LoadReport {
  std::vector<std::string> loaded = {};
  std::vector<std::string> missing = {};     ///< in the model alone; they keep their values
  std::vector<std::string> unexpected = {};  ///< in the file alone
  std::vector<ShapeMismatch> mismatched = {};
  std::vector<std::string> dropped = {};  ///< left out by LoadOptions::drop, in the file or in the model
  PassedOver passed_over = {};            ///< what the file holds beside tensors

  /// One line with the counts, then one for each kind of tensor that was not loaded: other shapes first, batch counts
  /// that the file is too old to have last.
  [[nodiscard]] std::string to_string() const;
};

namespace detail {

[[nodiscard]] inline std::string shape_text(std::span<const std::int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape.begin(), shape.end(), ", "));
}

[[nodiscard]] inline std::string mismatch_text(const ShapeMismatch& mismatch) {
  return fmt::format("{} (model {}, file {})", mismatch.name, shape_text(mismatch.expected),
                     shape_text(mismatch.found));
}

/// Files from before PyTorch 0.4.1 lack the batch counts, which matter only to batch norm without momentum.
[[nodiscard]] inline bool is_expendable(const std::string& missing) {
  return missing.ends_with("num_batches_tracked");
}

/// One line for them all; empty for none.
[[nodiscard]] inline std::string expendable_text(const std::vector<std::string>& missing) {
  const auto count = std::ranges::count_if(missing, is_expendable);
  if (count == 0) return "";
  return fmt::format("batch counts (num_batches_tracked) missing in the file, which does no harm: {}", count);
}

}  // namespace detail

inline std::string LoadReport::to_string() const {
  std::string text = fmt::format("tensors loaded: {}", loaded.size());
  const auto list = [&](std::string_view title, const std::vector<std::string>& names) {
    if (!names.empty()) text += fmt::format("\n  {}: {} ({})", title, names.size(), fmt::join(names, ", "));
  };
  std::vector<std::string> shapes, needed;
  shapes.reserve(mismatched.size());
  for (const ShapeMismatch& mismatch : mismatched) shapes.push_back(detail::mismatch_text(mismatch));
  std::ranges::remove_copy_if(missing, std::back_inserter(needed), detail::is_expendable);
  list("of another shape", shapes);
  list("missing in the file", needed);
  list("unexpected in the file", unexpected);
  list("dropped", dropped);
  if (passed_over.count > 0) {
    text += fmt::format("\n  passed over: {} ({})", passed_over.count,
                        detail::passed_over_text(passed_over, PassedOver::most_named));
  }
  if (const std::string counts = detail::expendable_text(missing); !counts.empty()) text += "\n  " + counts;
  return text;
}

}  // namespace thaw

/// Prints `to_string()`: `fmt::print("{}\n", report);`
template <>
struct fmt::formatter<thaw::LoadReport> : fmt::formatter<std::string_view> {
  template <class Context>
  auto format(const thaw::LoadReport& report, Context& context) const {
    return fmt::formatter<std::string_view>::format(report.to_string(), context);
  }
};
