// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string_view>
#include <vector>

#include <thaw/vision/detail/file_format.hpp>
#include <thaw/vision/detail/tiff_tags.hpp>

namespace thaw::vision::detail {

/// Makes OpenCV read a TIFF's numbers as they stand there: not as places in a palette, and not as darkness.
inline void number_tiff(std::vector<std::uint8_t>& bytes) {
  const TiffTags tags(bytes);
  const std::uint64_t kind = tags.is_tiff() ? tags.value(TiffTags::Tag::photometric, 1) : 1;
  if ((kind != 0 && kind != 3) || tags.value(TiffTags::Tag::bits, 1) < 8) return;
  std::vector<std::uint8_t> copy(bytes);
  tags.set(copy, TiffTags::Tag::photometric, 1);
  bytes = copy;
}

/// Whether compression may have changed the numbers: JPEG, also in a TIFF, and what is lossy of WebP and JPEG 2000.
[[nodiscard]] inline bool is_lossy(FileBytes bytes) {
  bool lossy = is_jpeg(bytes);
  each_chunk(bytes, [&](std::string_view name, std::size_t, std::size_t) { return lossy = lossy || name == "VP8 "; });
  const TiffTags tags(bytes);
  const std::uint64_t packed = tags.is_tiff() ? tags.value(TiffTags::Tag::compression, 1) : 1;
  lossy = lossy || packed == 6 || packed == 7 || packed == 50001;  // JPEG, old and new; WebP
  constexpr std::array<std::uint8_t, 4> code_begins{0xFF, 0x4F, 0xFF, 0x51};
  // NOLINTNEXTLINE(modernize-use-ranges): Clang 14 does not take std::ranges::search
  const auto code = std::search(bytes.begin(), bytes.end(), code_begins.begin(), code_begins.end());
  if (code == bytes.end() || (!holds(bytes, 4, "jP  ") && code != bytes.begin())) return lossy;
  std::size_t at = static_cast<std::size_t>(code - bytes.begin()) + 2;
  while (at + 14 <= bytes.size() && bytes[at] == 0xFF && bytes[at + 1] != 0x52)
    at += 2 + (std::size_t{bytes[at + 2]} << 8 | bytes[at + 3]);
  return at + 14 > bytes.size() || bytes[at + 13] == 0;  // the wavelet that is not reversible
}

/// The numbers of a PNG, which OpenCV shows as colours or stretches to a byte.
class PngNumbers {
 public:
  explicit PngNumbers(const std::vector<std::uint8_t>& bytes) : bytes_(bytes) {
    if (!is_png(bytes)) return;
    const std::uint8_t kind = bytes[25];
    bits_ = bytes[24];
    palette_ = kind == 3;
    gray_ = kind == 0;
  }

  [[nodiscard]] bool palette() const { return palette_; }

  /// The same file with the places of its palette as gray.
  [[nodiscard]] std::vector<std::uint8_t> places() const {
    std::vector<std::uint8_t> gray(bytes_.begin(), bytes_.begin() + 8);
    each_chunk(bytes_, [&](std::string_view name, std::size_t at, std::size_t size) {
      if (name == "IHDR" || name == "IDAT" || name == "IEND")
        gray.insert(gray.end(), bytes_.begin() + static_cast<std::ptrdiff_t>(at - 8),
                    bytes_.begin() + static_cast<std::ptrdiff_t>(std::min(at + size + 4, bytes_.size())));
      return false;
    });
    if (gray.size() < 33) return {};
    gray[25] = 0;
    const std::uint32_t sum = crc(&gray[12], 17);
    for (std::size_t i = 0; i < 4; ++i) gray[29 + i] = static_cast<std::uint8_t>(sum >> (24 - 8 * i));
    return gray;
  }

  /// Whether its palette, up to the last place that is used, is of grays that do not rise, as programs write that make
  /// files smaller: one cannot know whether the place or the gray is the class.
  [[nodiscard]] bool disordered(const std::set<int>& used) const {
    std::vector<std::uint8_t> grays;
    bool colored = !palette_;
    each_chunk(bytes_, [&](std::string_view name, std::size_t at, std::size_t size) {
      if (name != "PLTE") return false;
      for (std::size_t i = at; i + 3 <= at + size; i += 3) {
        colored = colored || bytes_[i] != bytes_[i + 1] || bytes_[i] != bytes_[i + 2];
        grays.push_back(bytes_[i]);
      }
      return true;
    });
    if (colored || used.empty() || *used.begin() < 0) return false;
    grays.resize(std::min(grays.size(), static_cast<std::size_t>(*used.rbegin()) + 1));
    return !std::ranges::is_sorted(grays);
  }

  /// What OpenCV multiplies a number by. One bit is black or white, which is 0 or 255, unless a palette says what it
  /// is.
  [[nodiscard]] int scale() const {
    if (bits_ >= 8 || bits_ == 0 || !(palette_ || (gray_ && bits_ > 1))) return 1;
    return 255 / ((1 << bits_) - 1);
  }

 private:
  /// Of PNG and zlib.
  static std::uint32_t crc(const std::uint8_t* bytes, std::size_t size) {
    std::uint32_t sum = 0xFFFFFFFFU;
    for (std::size_t i = 0; i < size; ++i) {
      sum ^= bytes[i];
      for (int bit = 0; bit < 8; ++bit) sum = (sum & 1U) != 0 ? sum >> 1 ^ 0xEDB88320U : sum >> 1;
    }
    return ~sum;
  }

  const std::vector<std::uint8_t>& bytes_;
  int bits_ = 0;
  bool palette_ = false, gray_ = false;
};

}  // namespace thaw::vision::detail
