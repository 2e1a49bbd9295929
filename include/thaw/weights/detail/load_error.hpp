// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>
#include <thaw/weights/detail/match.hpp>
#include <thaw/weights/detail/prefix_hint.hpp>
#include <thaw/weights/load_report.hpp>
#include <thaw/weights/state_dict.hpp>
#include <vector>

namespace thaw::detail {

[[nodiscard]] inline std::string named_shape(const StateDict& state, const std::string& name) {
  const auto unreadable = state.unreadable().find(name);
  if (unreadable != state.unreadable().end()) return fmt::format("{} (made by {}, not read)", name, unreadable->second);
  return fmt::format("{} {}", name, shape_text(state.at(name).sizes()));
}

/// The unexpected tensors of each shape, of which a missing one may be the old name. A hostile file may hold any number
/// of either: 200 of a shape are looked at, and 200 missing ones asked for.
class RenamedFrom {
 public:
  RenamedFrom(const std::vector<std::string>& unexpected, const StateDict& file) {
    for (const std::string& name : unexpected) {
      const at::Tensor* tensor = file.find(name);
      if (tensor == nullptr) continue;
      std::vector<std::string>& alike = names_[tensor->sizes().vec()];
      if (alike.size() < most) alike.push_back(name);
    }
  }

  /// The one with a similar name. Else empty.
  [[nodiscard]] std::string operator()(const std::string& missing, const at::Tensor& tensor) {
    const auto alike = names_.find(tensor.sizes().vec());
    if (alike == names_.end() || ++asked_ > most) return {};
    const std::string nearest = nearest_name(missing, alike->second);
    return edit_distance(missing, nearest) * 2 <= std::max(missing.size(), nearest.size()) ? nearest : std::string{};
  }

 private:
  static constexpr std::size_t most = 200;
  std::map<std::vector<std::int64_t>, std::vector<std::string>> names_;
  std::size_t asked_ = 0;
};

/// How many of what, in one line.
[[nodiscard]] inline std::string misfit_counts(const Match& match, const StateDict& file) {
  const LoadReport& report = match.report;
  std::string text =
      fmt::format("does not fit the model: missing {}, unexpected {}, of another shape {}, fitting {}",
                  report.missing.size(), report.unexpected.size(), report.mismatched.size(), report.loaded.size());
  if (!match.refused.empty()) text += fmt::format(", refused {}", match.refused.size());
  if (const auto& unreadable = file.unreadable(); !unreadable.empty()) {
    text += fmt::format("; {} of the file are of a kind that is not read ({})", unreadable.size(),
                        unreadable.begin()->second);
  }
  return text;
}

/// Everything that keeps the file from fitting the model, in full; what tells most comes first.
[[nodiscard]] inline std::string misfit_text(const Match& match, const StateDict& model, const StateDict& file) {
  const LoadReport& report = match.report;
  std::string text = misfit_counts(match, file);
  for (const ShapeMismatch& mismatch : report.mismatched) {
    text += fmt::format("\n  of another shape: {}", mismatch_text(mismatch));
  }
  for (const std::string& line : match.refused) text += "\n  refused: " + line;
  RenamedFrom renamed_from(report.unexpected, file);
  for (const std::string& name : report.missing) {
    if (is_expendable(name)) continue;
    text += fmt::format("\n  missing in the file: {}", named_shape(model, name));
    const auto unreadable = file.unreadable().find(name);
    if (unreadable != file.unreadable().end()) {
      text += fmt::format(
          " (there it is made by {}, which is not read; save it dense in Python: .to_dense(), .dequantize(), "
          ".full_tensor())",
          unreadable->second);
    } else if (const std::string hint = renamed_from(name, model.at(name)); !hint.empty()) {
      text += fmt::format(" (the file has {})", hint);
    }
  }
  for (const std::string& name : report.unexpected) {
    text += fmt::format("\n  unexpected in the file: {}", named_shape(file, name));
  }
  if (const std::string counts = expendable_text(report.missing); !counts.empty()) text += "\n  " + counts;
  return text;
}

[[nodiscard]] inline FileError misfit(const std::string& where, const Match& match, const StateDict& model,
                                      const StateDict& file, const PrefixHint& hint) {
  if (hint.complete) {
    return {where, misfit_counts(match, file),
            fmt::format("give {}, with which all {} tensors fit", hint.option, hint.of)};
  }
  std::string better;
  if (!hint.option.empty()) {
    better = fmt::format("with {}, {} of {} tensors fit; else ", hint.option, hint.fitting, hint.of);
  }
  const LoadReport& report = match.report;
  std::string text = misfit_text(match, model, file);
  if (report.loaded.empty() && report.mismatched.empty()) {
    return {where, "is of another architecture: no name fits. It " + text,
            better + "build the model that the file was saved from, or map its names with .rename"};
  }
  if (!match.refused.empty()) {
    return {where, std::move(text),
            "leave these tensors out with .drop = {\"name.*\"}, or save them as what the model has"};
  }
  return {where, std::move(text),
          better +
              "build the model that the file was saved from; or leave tensors out with .drop = {\"name.*\"}, map names "
              "with .rename, or load what fits with .partial = true"};
}

}  // namespace thaw::detail
