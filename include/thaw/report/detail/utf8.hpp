// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace thaw::detail {

/// The bytes of a character, and its number in Unicode: none where they are malformed.
struct Character {
  std::string_view bytes = {};
  std::optional<std::uint32_t> code = {};
};

/// Removes the first character from `rest`, which must not be empty.
[[nodiscard]] inline Character take_character(std::string_view& rest) {
  const auto byte = [&](std::size_t i) -> std::uint32_t { return static_cast<unsigned char>(rest[i]); };
  const auto take = [&](std::size_t n, std::optional<std::uint32_t> code) {
    const std::string_view taken = rest.substr(0, n);
    rest.remove_prefix(n);
    return Character{.bytes = taken, .code = code};
  };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) return take(1, lead);
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || rest.size() < length) return take(1, std::nullopt);

  std::uint32_t code = lead & (0x7FU >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) return take(1, std::nullopt);
    code = code << 6U | (byte(i) & 0x3FU);
  }
  constexpr std::array<std::uint32_t, 5> least{0, 0, 0x80, 0x800, 0x10000};
  const bool overlong = code < least[length], surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (overlong || surrogate || code > 0x10FFFF) return take(length, std::nullopt);
  return take(length, code);
}

inline constexpr std::string_view replacement_character = "\xEF\xBF\xBD";

/// Removes the first character from `rest` and returns its bytes, or "\uFFFD" for one that no terminal or XML file may
/// hold: control characters and malformed UTF-8. `rest` must not be empty.
[[nodiscard]] inline std::string_view next_character(std::string_view& rest) {
  const Character character = take_character(rest);
  if (!character.code) return replacement_character;
  const std::uint32_t code = *character.code;
  const bool control = code < 0x20 || (code >= 0x7F && code < 0xA0), noncharacter = (code & 0xFFFEU) == 0xFFFE;
  return control || noncharacter ? replacement_character : character.bytes;
}

/// Columns that the text takes in a terminal, at one per character.
[[nodiscard]] inline std::size_t display_width(std::string_view text) {
  std::size_t columns = 0;
  for (; !text.empty(); ++columns) static_cast<void>(next_character(text));
  return columns;
}

/// The text in at most `columns` columns, its end replaced by ".." where it is longer, with nothing in it that would
/// move the cursor.
[[nodiscard]] inline std::string shortened(std::string_view text, std::size_t columns) {
  const bool whole = display_width(text) <= columns;
  const std::size_t dots = whole ? 0 : std::min<std::size_t>(2, columns);
  std::string out;
  for (std::size_t left = columns - dots; left > 0 && !text.empty(); --left) out += next_character(text);
  return out.append(dots, '.');
}

}  // namespace thaw::detail
