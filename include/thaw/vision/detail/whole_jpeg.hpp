// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <opencv2/core.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

namespace thaw::vision::detail {

[[nodiscard]] inline bool is_jpeg(std::span<const std::uint8_t> bytes) {
  return bytes.size() >= 2 && bytes[0] == 0xFF && bytes[1] == 0xD8;
}

/// Walks over a JPEG's markers. Coded pixels cannot hold one, since 0xFF is escaped there.
class JpegMarkers {
 public:
  static constexpr std::uint8_t end = 0xD9, scan = 0xDA, baseline = 0xC0, extended = 0xC1;

  explicit JpegMarkers(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  /// Calls `visit(marker, at, size)` for each with where its content is, until it gives true.
  template <class Visit>
  void each(Visit visit) const {
    for (std::size_t at = 2; at + 2 <= bytes_.size();) {
      const std::uint8_t marker = bytes_[at + 1];
      // Coded pixels, or stray bytes, which readers skip; padding; an escape; markers between coded pixels.
      if (bytes_[at] != 0xFF) {
        const void* const next = std::memchr(&bytes_[at], 0xFF, bytes_.size() - at);
        if (next == nullptr) return;
        at = static_cast<std::size_t>(static_cast<const std::uint8_t*>(next) - bytes_.data());
        continue;
      }
      if (marker == 0xFF) {
        ++at;
        continue;
      }
      if (marker == 0x00 || marker == 0x01 || (marker >= 0xD0 && marker <= 0xD8)) {
        at += 2;
        continue;
      }
      if (marker == end) {
        if (visit(marker, at, std::size_t{0})) return;
        at += 2;
        continue;
      }
      if (at + 4 > bytes_.size()) return;
      const std::size_t size = std::size_t{bytes_[at + 2]} << 8 | bytes_[at + 3];
      if (visit(marker, at + 4, std::min(std::max<std::size_t>(size, 2) - 2, bytes_.size() - at - 4))) return;
      at += 2 + std::max<std::size_t>(size, 2);
    }
  }

 private:
  std::span<const std::uint8_t> bytes_;
};

/// Where the marker is that ends a JPEG's picture; none where it is missing. That of a small picture within the header
/// does not count.
[[nodiscard]] inline std::optional<std::size_t> end_of_jpeg(std::span<const std::uint8_t> bytes) {
  std::optional<std::size_t> found;
  bool scanned = false;
  JpegMarkers(bytes).each([&](std::uint8_t marker, std::size_t at, std::size_t) {
    scanned = scanned || marker == JpegMarkers::scan;
    if (marker == JpegMarkers::end && scanned) found = at;
    return found.has_value();
  });
  return found;
}

/// False for a JPEG whose end is missing.
[[nodiscard]] inline bool whole_or_no_jpeg(std::span<const std::uint8_t> bytes) {
  return !is_jpeg(bytes) || end_of_jpeg(bytes).has_value();
}
[[nodiscard]] inline bool whole_or_no_jpeg(const std::vector<std::uint8_t>& bytes) {
  return whole_or_no_jpeg(std::span<const std::uint8_t>(bytes));
}

/// Its size as the pixels are stored; none for what is no JPEG that says it.
[[nodiscard]] inline cv::Size size_of_jpeg(std::span<const std::uint8_t> bytes) {
  cv::Size found;
  if (is_jpeg(bytes))
    JpegMarkers(bytes).each([&](std::uint8_t marker, std::size_t at, std::size_t size) {
      const bool frame = marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
      if (frame && size >= 5)
        found = cv::Size(bytes[at + 3] << 8 | bytes[at + 4], bytes[at + 1] << 8 | bytes[at + 2]);
      return frame || marker == JpegMarkers::scan;
    });
  return found;
}

/// Whether pixels of a JPEG are missing though it has its end: libjpeg makes gray of them, and says nothing. `image` is
/// what `decode(bytes)` gave. Bytes put before the end would stand for what is missing; behind all pixels they are
/// passed over. What lacks within the last block of pixels alone is not seen. Tried only where the last pixel is such a
/// gray, or where there are several scans, since it takes a second decoding.
template <class Decode>
[[nodiscard]] bool lacks_pixels(const std::vector<std::uint8_t>& bytes, const cv::Mat& image, Decode decode) {
  if (!is_jpeg(bytes) || image.empty() || image.depth() != CV_8U) return false;
  int scans = 0;
  bool usual = true;
  JpegMarkers(bytes).each([&](std::uint8_t marker, std::size_t at, std::size_t size) {
    if (marker == JpegMarkers::baseline || marker == JpegMarkers::extended) usual = size > 5 && bytes[at + 5] <= 3;
    if (marker == JpegMarkers::scan) ++scans;
    return marker == JpegMarkers::end && scans > 0;
  });
  const std::uint8_t* const last = image.ptr(image.rows - 1, image.cols - 1);
  if (usual && scans == 1 &&
      !std::all_of(last, last + std::min(image.channels(), 3), [](std::uint8_t v) { return v == 128; }))
    return false;
  std::size_t behind = end_of_jpeg(bytes).value_or(bytes.size());
  while (behind > 2 && bytes[behind - 1] == 0xFF) --behind;  // padding, which would make a marker of the next byte
  std::size_t restart = behind - 1;                          // the last marker of those that stand between pixels
  while (restart > 2 && !(bytes[restart - 1] == 0xFF && (bytes[restart] & 0xF8U) == 0xD0)) --restart;
  const auto next = static_cast<std::uint8_t>(restart > 2 ? (bytes[restart] + 1U) & 7U : 0U);
  std::vector<std::uint8_t> more(1024);
  std::uint32_t state = 1;
  for (std::uint8_t& byte : more) {
    state = state * 1664525U + 1013904223U;
    byte = static_cast<std::uint8_t>((state >> 24) % 255);  // never 0xFF, which begins a marker
  }
  more[512] = 0xFF, more[513] = 0xD0 | next;
  std::vector<std::uint8_t> longer(bytes);
  longer.insert(longer.begin() + static_cast<std::ptrdiff_t>(behind), more.begin(), more.end());
  const cv::Mat other = decode(longer);
  return other.size() != image.size() || other.type() != image.type() || cv::norm(other, image, cv::NORM_INF) != 0;
}

}  // namespace thaw::vision::detail
