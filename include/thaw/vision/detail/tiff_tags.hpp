// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace thaw::vision::detail {

/// The first directory of a TIFF, or of EXIF data, which is written as one; also of a BigTIFF. What lies outside of the
/// bytes is not there.
class TiffTags {
 public:
  enum class Tag : std::uint16_t {
    bits = 258,
    compression = 259,
    photometric = 262,
    orientation = 274,
    samples = 277,
    extra_samples = 338,
  };

  explicit TiffTags(std::span<const std::uint8_t> bytes) : bytes_(bytes) {
    if (bytes.size() < 8 || bytes[0] != bytes[1] || (bytes[0] != 'I' && bytes[0] != 'M')) return;
    little_ = bytes[0] == 'I';
    const std::uint64_t version = number(2, 2);
    big_ = version == 43;
    if (version != 42 && version != 43) return;
    const std::uint64_t at = big_ ? number(8, 8) : number(4, 4);
    const std::size_t entry = big_ ? 20 : 12, head = big_ ? 8 : 2;
    if (at > bytes.size() || bytes.size() - at < head) return;
    is_tiff_ = true;
    const std::uint64_t there = (bytes.size() - at - head) / entry, count = std::min(number(at, head), there);
    for (std::uint64_t i = 0; i < count; ++i) entries_.push_back(at + head + i * entry);
  }

  [[nodiscard]] bool is_tiff() const { return is_tiff_; }

  /// A tag's first value, where it is of bytes, 16 or 32 bits; otherwise `otherwise`.
  [[nodiscard]] std::uint64_t value(Tag tag, std::uint64_t otherwise) const {
    const std::optional<std::size_t> at = entry(tag);
    if (!at) return otherwise;
    const std::uint64_t type = number(*at + 2, 2), size = type == 1 ? 1 : type == 3 ? 2 : type == 4 ? 4 : 0;
    if (size == 0) return otherwise;
    const std::uint64_t count = number(*at + 4, big_ ? 8 : 4), within = big_ ? 8 : 4;
    std::size_t place = *at + (big_ ? 12 : 8);
    if (count > within / size) place = number(place, within);
    return place <= bytes_.size() && bytes_.size() - place >= size ? number(place, size) : otherwise;
  }

  /// Writes a tag's value, a single one of 16 bits, into a copy of the bytes, where the tag is.
  void set(std::vector<std::uint8_t>& copy, Tag tag, std::uint16_t value) const {
    const std::optional<std::size_t> at = entry(tag);
    if (!at) return;
    const auto write = [&](std::size_t place, std::size_t size, std::uint64_t what) {
      for (std::size_t i = 0; i < size; ++i)
        copy.at(place + (little_ ? i : size - 1 - i)) = static_cast<std::uint8_t>(what >> (8 * i));
    };
    write(*at + 2, 2, 3);
    write(*at + 4, big_ ? 8 : 4, 1);
    write(*at + (big_ ? 12 : 8), 2, value);
  }

 private:
  [[nodiscard]] std::optional<std::size_t> entry(Tag tag) const {
    for (const std::size_t at : entries_)
      if (number(at, 2) == static_cast<std::uint64_t>(tag)) return at;
    return std::nullopt;
  }
  [[nodiscard]] std::uint64_t number(std::size_t at, std::size_t size) const {
    if (at > bytes_.size() || bytes_.size() - at < size) return 0;
    std::uint64_t result = 0;
    for (std::size_t i = 0; i < size; ++i) result = result << 8 | bytes_[at + (little_ ? size - 1 - i : i)];
    return result;
  }

  std::span<const std::uint8_t> bytes_;
  bool is_tiff_ = false, little_ = true, big_ = false;
  std::vector<std::size_t> entries_;
};

}  // namespace thaw::vision::detail
