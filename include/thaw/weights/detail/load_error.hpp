#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>
#include <thaw/weights/load_report.hpp>
#include <thaw/weights/state_dict.hpp>
#include <vector>

namespace thaw::detail {

[[nodiscard]] inline std::string named_shape(const StateDict& state, const std::string& name) {
  return fmt::format("{} {}", name, shape_text(state.at(name).sizes()));
}

/// The unexpected tensor that `missing` may have been renamed from: same shape and a similar name. Else empty.
[[nodiscard]] inline std::string renamed_from(const std::string& missing, const at::Tensor& tensor,
                                              const std::vector<std::string>& unexpected, const StateDict& file) {
  constexpr std::size_t most = 200;  // a hostile file may hold any number
  std::vector<std::string> alike;
  for (const std::string& name : unexpected) {
    if (alike.size() < most && file.at(name).sizes() == tensor.sizes()) alike.push_back(name);
  }
  const std::string nearest = nearest_name(missing, alike);
  return edit_distance(missing, nearest) * 2 <= std::max(missing.size(), nearest.size()) ? nearest : std::string{};
}

/// Everything that keeps the file from fitting the model, in full.
[[nodiscard]] inline std::string misfit_text(const LoadReport& report, const StateDict& model, const StateDict& file) {
  constexpr std::size_t most_hints = 20;
  std::string text =
      fmt::format("does not fit the model: missing {}, unexpected {}, of another shape {}, fitting {}",
                  report.missing.size(), report.unexpected.size(), report.mismatched.size(), report.loaded.size());
  std::size_t hints = 0;
  for (const std::string& name : report.missing) {
    text += fmt::format("\n  missing in the file: {}", named_shape(model, name));
    const std::string hint =
        hints < most_hints ? renamed_from(name, model.at(name), report.unexpected, file) : std::string{};
    if (!hint.empty()) text += fmt::format(" (the file has {})", hint);
    hints += hint.empty() ? 0 : 1;
  }
  for (const std::string& name : report.unexpected) {
    text += fmt::format("\n  unexpected in the file: {}", named_shape(file, name));
  }
  for (const ShapeMismatch& mismatch : report.mismatched) {
    text += fmt::format("\n  of another shape: {}", mismatch_text(mismatch));
  }
  return text;
}

[[nodiscard]] inline FileError misfit(const std::string& where, const LoadReport& report, const StateDict& model,
                                      const StateDict& file) {
  std::string text = misfit_text(report, model, file);
  if (report.loaded.empty() && report.mismatched.empty()) {
    return {where, "is of another architecture: no name fits. It " + text,
            "build the model that the file was saved from, or map its names with .rename"};
  }
  return {
      where, std::move(text),
      "build the model that the file was saved from; or leave tensors out with .drop = {\"name.*\"}, map names with "
      ".rename, or load what fits with .partial = true"};
}

}  // namespace thaw::detail
