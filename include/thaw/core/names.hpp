// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <thaw/core/compiled.hpp>

namespace thaw {

/// Edit distance (Levenshtein) of two names.
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

/// The one of `candidates` that is nearest to `name`; empty when there is none. Ties go to the first.
[[nodiscard]] std::string nearest_name(std::string_view name, std::span<const std::string> candidates);

/// "a, b, c", cut after `most` names with "... (7 more)".
[[nodiscard]] std::string join_names(std::span<const std::string> names, std::size_t most = 12);

/// The same with small letters for A to Z.
[[nodiscard]] std::string lower_case(std::string text);

}  // namespace thaw

#if THAW_DEFINES(core)

namespace thaw {

THAW_INLINE std::string lower_case(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

THAW_INLINE std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

THAW_INLINE std::string nearest_name(std::string_view name, std::span<const std::string> candidates) {
  const auto distance = [&](const std::string& candidate) { return edit_distance(name, candidate); };
  const auto nearest = std::ranges::min_element(candidates, {}, distance);
  return nearest == candidates.end() ? std::string{} : *nearest;
}

THAW_INLINE std::string join_names(std::span<const std::string> names, std::size_t most) {
  std::string text;
  for (std::size_t i = 0; i < std::min(most, names.size()); ++i) text += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > most) text += ", ... (" + std::to_string(names.size() - most) + " more)";
  return text;
}

}  // namespace thaw

#endif
