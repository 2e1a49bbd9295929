// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <regex>
#include <string>
#include <string_view>

#include <thaw/core/error.hpp>
#include <thaw/groups/pattern.hpp>

namespace thaw {

/// A regular expression (ECMAScript) that must match the whole name: `regex("layer[1-4]\\..*")`.
/// Throws ConfigError for an expression that is none.
[[nodiscard]] inline Pattern regex(const std::string& expression) {
  try {
    return {"regex(" + expression + ")",
            [compiled = std::regex(expression, std::regex::ECMAScript | std::regex::optimize)](std::string_view name) {
              return std::regex_match(name.begin(), name.end(), compiled);
            }};
  } catch (const std::regex_error& error) {
    throw ConfigError("thaw::regex", "\"" + expression + "\" is no regular expression (" + error.what() + ")",
                      "check its brackets and escapes; a dot of a name is written \"\\\\.\" in a string literal");
  }
}

}  // namespace thaw
