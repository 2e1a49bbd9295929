// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace thaw {

/// Whether these bytes are UTF-8 as Unicode defines it: no overlong form, no surrogate, nothing beyond U+10FFFF.
[[nodiscard]] inline bool is_utf8(std::string_view bytes) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[i])); };
  for (std::size_t i = 0; i < bytes.size();) {
    const std::uint32_t first = byte(i++);
    if (first < 0x80) continue;
    const std::size_t more = first < 0xc2 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : first < 0xf5 ? 3 : 0;
    if (more == 0 || bytes.size() - i < more) return false;
    std::uint32_t point = first & (0x3fU >> more);
    for (std::size_t k = 0; k < more; ++k, ++i) {
      if ((byte(i) & 0xc0U) != 0x80) return false;
      point = point << 6 | (byte(i) & 0x3fU);
    }
    const bool overlong = (more == 2 && point < 0x800) || (more == 3 && point < 0x10000);
    if (overlong || (point >= 0xd800 && point < 0xe000) || point > 0x10ffff) return false;
  }
  return true;
}

}  // namespace thaw
