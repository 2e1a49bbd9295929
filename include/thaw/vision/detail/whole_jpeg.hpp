#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace thaw::vision::detail {

/// False for a JPEG whose end is missing: after the header of its picture (which may hold a small picture of its own)
/// there is no marker that ends it. Coded pixels cannot hold one, since 0xFF is escaped there.
[[nodiscard]] inline bool whole_or_no_jpeg(const std::vector<std::uint8_t>& bytes) {
  constexpr std::uint8_t marker = 0xFF, begin = 0xD8, end = 0xD9, scan = 0xDA;
  if (bytes.size() < 2 || bytes[0] != marker || bytes[1] != begin) return true;
  for (std::size_t at = 2; at + 4 <= bytes.size();) {
    if (bytes[at] != marker || bytes[at + 1] == marker) {  // stray bytes, which readers skip; padding
      ++at;
      continue;
    }
    if (bytes[at + 1] == scan) {
      const std::array ending{marker, end};
      return std::search(bytes.begin() + static_cast<std::ptrdiff_t>(at), bytes.end(), ending.begin(), ending.end()) !=
             bytes.end();
    }
    at += 2 + (std::size_t{bytes[at + 2]} << 8 | bytes[at + 3]);
  }
  return false;
}

}  // namespace thaw::vision::detail
