// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

namespace thaw::test {

/// Numbers as bytes, the highest first.
inline std::string big_endian(std::uint64_t value, int size) {
  std::string bytes;
  for (int i = size - 1; i >= 0; --i) bytes += static_cast<char>(value >> (8 * i) & 0xFF);
  return bytes;
}
inline std::string little_endian(std::uint64_t value, int size) {
  const std::string bytes = big_endian(value, size);
  return {bytes.rbegin(), bytes.rend()};
}

/// What a TIFF of one strip is like, and its samples as bytes.
struct TiffOf {
  int width = 1, height = 1, samples = 1, bits = 8;
  int photometric = 1;          // 0: white is 0, 1: black is 0, 2: RGB, 3: a palette
  std::vector<int> extra = {};  // what each sample beyond the colours is; 1, 2: alpha
  int format = 1;               // of a sample; 1: unsigned, 2: signed, 3: float
  int orientation = 1;
  std::string pixels = {};
};

/// Little endian, not compressed.
inline std::string tiff(const TiffOf& of) {
  struct Entry {
    int tag;
    std::vector<int> values;
  };
  const auto samples = static_cast<std::size_t>(of.samples);
  std::vector<Entry> entries{{256, {of.width}},
                             {257, {of.height}},
                             {258, std::vector<int>(samples, of.bits)},
                             {259, {1}},
                             {262, {of.photometric}},
                             {273, {0}},
                             {274, {of.orientation}},
                             {277, {of.samples}},
                             {278, {of.height}},
                             {279, {static_cast<int>(of.pixels.size())}},
                             {284, {1}}};
  if (of.photometric == 3) {
    entries.push_back({320, {}});
    for (int i = 0; i < 3 * 256; ++i) entries.back().values.push_back(i * 977 % 65536);
  }
  if (!of.extra.empty()) entries.push_back({338, of.extra});
  entries.push_back({339, std::vector<int>(samples, of.format)});
  const std::size_t behind = 8 + 2 + 12 * entries.size() + 4;
  std::size_t pixels_at = behind;
  for (const Entry& entry : entries)
    if (entry.values.size() > 2) pixels_at += 2 * entry.values.size();
  std::string bytes = "II*" + std::string(1, '\0') + little_endian(8, 4) + little_endian(entries.size(), 2), tail;
  for (Entry& entry : entries) {
    if (entry.tag == 273) entry.values = {static_cast<int>(pixels_at)};
    std::string values;
    for (const int value : entry.values) values += little_endian(static_cast<std::uint64_t>(value), 2);
    bytes += little_endian(static_cast<std::uint64_t>(entry.tag), 2) + little_endian(3, 2) +
             little_endian(entry.values.size(), 4);
    if (values.size() > 4) {
      bytes += little_endian(behind + tail.size(), 4);
      tail += values;
    } else {
      bytes += values + std::string(4 - values.size(), '\0');
    }
  }
  return bytes + little_endian(0, 4) + tail + of.pixels;
}

inline std::string png_chunk(const std::string& name, const std::string& content) {
  std::uint32_t sum = 0xFFFFFFFFU;
  for (const char c : name + content) {
    sum ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) sum = (sum & 1U) != 0 ? sum >> 1 ^ 0xEDB88320U : sum >> 1;
  }
  return big_endian(content.size(), 4) + name + content + big_endian(~sum, 4);
}

/// A PNG that is not compressed. `rows` are the pixels as they are packed; `kind` 0 is gray, 3 a palette of red, green
/// and blue; `more` are chunks before the pixels.
inline std::string png(int width, int bits, int kind, const std::vector<std::string>& rows,
                       const std::string& palette = {}, const std::string& more = {}) {
  std::string raw;
  for (const std::string& row : rows) raw += std::string(1, '\0') + row;  // no filter
  std::uint32_t a = 1, b = 0;
  for (const char c : raw) a = (a + static_cast<unsigned char>(c)) % 65521, b = (b + a) % 65521;
  const std::string packed = std::string("\x78\x01\x01", 3) + little_endian(raw.size(), 2) +
                             little_endian(raw.size() ^ 0xFFFFU, 2) + raw + big_endian(b << 16 | a, 4);
  const std::string header = big_endian(static_cast<std::uint64_t>(width), 4) + big_endian(rows.size(), 4) +
                             static_cast<char>(bits) + static_cast<char>(kind) + std::string(3, '\0');
  return "\x89PNG\r\n\x1A\n" + png_chunk("IHDR", header) + (palette.empty() ? "" : png_chunk("PLTE", palette)) + more +
         png_chunk("IDAT", packed) + png_chunk("IEND", "");
}

/// EXIF data with one entry: how the camera was held, 1 to 8.
inline std::string exif_of(int orientation) {
  return std::string("II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0", 18) + static_cast<char>(orientation) +
         std::string(7, '\0');
}

/// A JPEG with a segment behind its first two bytes.
inline std::string with_jpeg_segment(const std::string& jpeg, char marker, const std::string& content) {
  return jpeg.substr(0, 2) + '\xFF' + marker + big_endian(content.size() + 2, 2) + content + jpeg.substr(2);
}
inline std::string with_orientation(const std::string& jpeg, int orientation) {
  return with_jpeg_segment(jpeg, '\xE1', std::string("Exif\0\0", 6) + exif_of(orientation));
}

}  // namespace thaw::test
