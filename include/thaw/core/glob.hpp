// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <string_view>

namespace thaw {

/// Does a glob match the whole name? `*` is any text, dots included, `?` any one character.
[[nodiscard]] inline bool glob_match(std::string_view glob, std::string_view name) {
  constexpr auto none = std::string_view::npos;
  std::size_t g = 0, n = 0, star = none, resume = 0;
  while (n < name.size()) {
    if (g < glob.size() && glob[g] == '*') {
      star = g++;
      resume = n;
    } else if (g < glob.size() && (glob[g] == '?' || glob[g] == name[n])) {
      ++g, ++n;
    } else if (star != none) {
      g = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  return glob.find_first_not_of('*', g) == none;
}

}  // namespace thaw
