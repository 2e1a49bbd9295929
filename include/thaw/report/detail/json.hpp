// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include <thaw/report/detail/utf8.hpp>

namespace thaw::detail {

/// A JSON string (RFC 8259). Malformed UTF-8 becomes U+FFFD.
[[nodiscard]] inline std::string json_string(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const Character character = take_character(text);
    if (!character.code)
      out += replacement_character;
    else if (*character.code == '"' || *character.code == '\\')
      out.append("\\").append(character.bytes);
    else if (*character.code < 0x20)
      out += fmt::format("\\u{:04x}", *character.code);
    else
      out += character.bytes;
  }
  return out + "\"";
}

/// A value as JSON: numbers with all their digits, what is not finite and what is not there as null, strings, ranges,
/// and objects.
template <class T>
[[nodiscard]] std::string json(const T& value) {
  if constexpr (std::same_as<T, bool>) {
    return value ? "true" : "false";
  } else if constexpr (std::integral<T>) {
    return std::to_string(value);
  } else if constexpr (std::floating_point<T>) {
    return std::isfinite(value) ? fmt::format("{}", value) : "null";
  } else if constexpr (std::convertible_to<const T&, std::string_view>) {
    return json_string(value);
  } else if constexpr (requires { value.has_value(); }) {
    return value ? json(*value) : "null";
  } else if constexpr (requires { value.text(); }) {
    return value.text();
  } else {
    std::string items;
    for (const auto& item : value) items.append(items.empty() ? "" : ",").append(json(item));
    return "[" + items + "]";
  }
}

/// An object, member by member in order; of two members of one name the first stays.
class JsonObject {
 public:
  template <class T>
  JsonObject& add(const std::string& name, const T& value) {
    if (std::ranges::find(names_, name) != names_.end()) return *this;
    members_.append(names_.empty() ? "" : ",").append(json_string(name)).append(":").append(json(value));
    names_.push_back(name);
    return *this;
  }
  [[nodiscard]] std::string text() const { return "{" + members_ + "}"; }

 private:
  std::vector<std::string> names_;
  std::string members_;
};

}  // namespace thaw::detail
