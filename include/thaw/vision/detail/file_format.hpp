// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <opencv2/core.hpp>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <thaw/vision/detail/tiff_tags.hpp>
#include <thaw/vision/detail/whole_jpeg.hpp>

namespace thaw::vision::detail {

using FileBytes = std::span<const std::uint8_t>;

[[nodiscard]] inline bool holds(FileBytes bytes, std::size_t at, std::string_view text) {
  return bytes.size() >= at + text.size() &&
         std::equal(text.begin(), text.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at),
                    [](char a, std::uint8_t b) { return static_cast<std::uint8_t>(a) == b; });
}
[[nodiscard]] inline bool is_png(FileBytes bytes) {
  return holds(bytes, 0, "\x89PNG\r\n\x1A\n") && bytes.size() >= 33;
}
[[nodiscard]] inline bool is_webp(FileBytes bytes) {
  return holds(bytes, 0, "RIFF") && holds(bytes, 8, "WEBP");
}

[[nodiscard]] inline std::size_t big_endian(FileBytes bytes, std::size_t at) {
  return std::size_t{bytes[at]} << 24 | std::size_t{bytes[at + 1]} << 16 | std::size_t{bytes[at + 2]} << 8 |
         bytes[at + 3];
}
[[nodiscard]] inline std::size_t little_endian(FileBytes bytes, std::size_t at) {
  return std::size_t{bytes[at + 3]} << 24 | std::size_t{bytes[at + 2]} << 16 | std::size_t{bytes[at + 1]} << 8 |
         bytes[at];
}

/// Calls `visit(name, at, size)` for the content of each chunk of a PNG or WebP file, until it gives true.
template <class Visit>
void each_chunk(FileBytes bytes, Visit visit) {
  const bool png = is_png(bytes);
  if (!png && !is_webp(bytes)) return;
  for (std::size_t at = png ? 8 : 12; at + 8 <= bytes.size();) {
    const std::size_t size = png ? big_endian(bytes, at) : little_endian(bytes, at + 4);
    const std::size_t name = png ? at + 4 : at;
    if (size > bytes.size() - at - 8) return;
    if (visit(std::string_view(reinterpret_cast<const char*>(&bytes[name]), 4), at + 8, size)) return;
    at += 8 + size + (png ? 4 : size % 2);
  }
}

[[nodiscard]] inline bool is_dicom(FileBytes bytes) {
  return holds(bytes, 128, "DICM");
}

/// The largest number that a PGM's or PPM's pixels may have, and where its header says so; 0 for other files.
struct PnmMaximum {
  int value = 0;
  std::size_t at = 0, size = 0;

  /// What stands for it in pixels of a byte or two.
  [[nodiscard]] int full() const { return value > 255 ? 65535 : 255; }
};
[[nodiscard]] inline PnmMaximum pnm_maximum(FileBytes bytes) {
  if (bytes.size() < 2 || bytes[0] != 'P' || std::string_view("2356").find(static_cast<char>(bytes[1])) > 3) return {};
  std::size_t at = 2;
  const auto is = [&](int (*kind)(int)) { return at < bytes.size() && kind(bytes[at]) != 0; };
  PnmMaximum found;
  for (int number = 0; number < 3; ++number) {  // width, height, maximum
    while (is(std::isspace) || (at < bytes.size() && bytes[at] == '#'))
      if (bytes[at++] == '#')
        while (at < bytes.size() && bytes[at] != '\n') ++at;
    found = {.at = at};
    for (; is(std::isdigit) && found.size < 9; ++at, ++found.size) found.value = 10 * found.value + (bytes[at] - '0');
  }
  return found.value > 65535 ? PnmMaximum() : found;
}

/// Makes OpenCV read the numbers of a PGM or PPM as they stand there. It stretches those that are written as text, and
/// no others, where their maximum is not 255.
inline void number_pnm(std::vector<std::uint8_t>& bytes) {
  const PnmMaximum most = pnm_maximum(bytes);
  if (most.value == 0 || most.value == most.full()) return;
  const std::string full = std::to_string(most.full());
  const auto at = bytes.begin() + static_cast<std::ptrdiff_t>(most.at);
  bytes.insert(bytes.erase(at, at + static_cast<std::ptrdiff_t>(most.size)), full.begin(), full.end());
}

/// What a file is whose pixels cannot be had, in words; empty for what is not known.
[[nodiscard]] inline std::string format_of(FileBytes bytes) {
  if (holds(bytes, 0, "GIF8")) return "a GIF";
  if (holds(bytes, 4, "ftypavi")) return "an AVIF";
  for (const char* brand : {"ftyphei", "ftyphev", "ftypmif1", "ftypmsf1"})
    if (holds(bytes, 4, brand)) return "a HEIC";
  if (holds(bytes, 0, "\xFF\x0A") || holds(bytes, 4, "JXL ")) return "a JPEG XL";
  if (is_webp(bytes) && holds(bytes, 12, "VP8X") && bytes.size() > 20 && (bytes[20] & 2U) != 0)
    return "an animated WebP";
  if (holds(bytes, 0, "%PDF")) return "a PDF";
  if (is_dicom(bytes)) return "a DICOM file";
  for (const char* begin : {"<!DOCTYPE html", "<!doctype html", "<html"})
    if (holds(bytes, 0, begin)) return "a web page";
  if (holds(bytes, 0, "<svg") || holds(bytes, 0, "<?xml")) return "an SVG";
  return {};
}

/// How a file's pixels lie, as its EXIF data (or a TIFF's own tag) says: 1, upright, to 8.
[[nodiscard]] inline int orientation_of(FileBytes bytes) {
  const auto said = [](FileBytes exif) {
    if (holds(exif, 0, {"Exif\0\0", 6})) exif = exif.subspan(6);
    const std::uint64_t value = TiffTags(exif).value(TiffTags::Tag::orientation, 1);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  };
  int orientation = 1;
  if (is_jpeg(bytes))
    JpegMarkers(bytes).each([&](std::uint8_t marker, std::size_t at, std::size_t size) {
      if (marker != 0xE1 || !holds(bytes, at, {"Exif\0\0", 6})) return marker == JpegMarkers::scan;
      orientation = said(bytes.subspan(at, size));
      return true;
    });
  else if (TiffTags(bytes).is_tiff())
    orientation = said(bytes);
  else
    each_chunk(bytes, [&](std::string_view name, std::size_t at, std::size_t size) {
      if (name != "eXIf" && name != "EXIF") return false;
      orientation = said(bytes.subspan(at, size));
      return true;
    });
  return orientation;
}

/// The image turned as its orientation asks for.
[[nodiscard]] inline cv::Mat upright(cv::Mat image, int orientation) {
  if (orientation >= 5) cv::transpose(image, image);
  const bool across = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
  const bool down = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
  if (across || down) cv::flip(image, image, across && down ? -1 : across ? 1 : 0);
  return image;
}

}  // namespace thaw::vision::detail
