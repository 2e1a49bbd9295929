// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <thaw/core/compiled.hpp>

// TensorBoard's files: records as TensorFlow's record_writer.cc frames them, each an Event of its event.proto. Two
// messages and four types of field need no protobuf.
namespace thaw::detail {

/// CRC-32C (Castagnoli), RFC 3720.
[[nodiscard]] std::uint32_t crc32c(std::string_view bytes);

/// A number that belongs to a step.
struct Scalar {
  std::string tag;
  double value;
};

/// Length, masked checksum of the length, `event`, masked checksum of it.
[[nodiscard]] std::string event_record(std::string_view event);

/// Each as the bytes of an Event; `time` in seconds since 1970.
[[nodiscard]] std::string version_event(double time);
[[nodiscard]] std::string scalars_event(double time, std::int64_t step, const std::vector<Scalar>& scalars);
/// A run goes on at this step: TensorBoard forgets what it has read of later ones.
[[nodiscard]] std::string restart_event(double time, std::int64_t step);

}  // namespace thaw::detail

#if THAW_DEFINES(report)

#include <array>

namespace thaw::detail {

THAW_INLINE std::uint32_t crc32c(std::string_view bytes) {
  static const std::array<std::uint32_t, 256> table = [] {
    std::array<std::uint32_t, 256> all{};
    for (std::uint32_t i = 0; i < all.size(); ++i) {
      all[i] = i;
      for (int bit = 0; bit < 8; ++bit) all[i] = (all[i] >> 1) ^ ((all[i] & 1) != 0 ? 0x82F63B78U : 0U);
    }
    return all;
  }();
  std::uint32_t crc = ~0U;
  for (const char c : bytes) crc = (crc >> 8) ^ table[(crc ^ static_cast<unsigned char>(c)) & 0xFF];
  return ~crc;
}

template <class Number>
[[nodiscard]] std::string little_endian_bytes(Number number) {
  static_assert(std::endian::native == std::endian::little);
  return {reinterpret_cast<const char*>(&number), sizeof number};  // NOLINT(*-reinterpret-cast)
}

THAW_INLINE std::string event_record(std::string_view event) {
  const auto checksum = [](std::string_view bytes) {
    return little_endian_bytes(std::rotr(crc32c(bytes), 15) + 0xA282EAD8U);
  };
  const std::string length = little_endian_bytes(std::uint64_t{event.size()});
  return length + checksum(length) + std::string(event) + checksum(event);
}

// ---- protobuf: a field is its number and type in a byte, then its value ----

[[nodiscard]] THAW_INLINE std::string varint(std::uint64_t number) {
  std::string bytes;
  for (; number > 0x7F; number >>= 7) bytes += static_cast<char>(number | 0x80);
  return bytes += static_cast<char>(number);
}
[[nodiscard]] THAW_INLINE std::string integer_field(int number, std::int64_t value) {
  return static_cast<char>(number << 3) + varint(static_cast<std::uint64_t>(value));
}
[[nodiscard]] THAW_INLINE std::string double_field(int number, double value) {
  return static_cast<char>(number << 3 | 1) + little_endian_bytes(value);
}
[[nodiscard]] THAW_INLINE std::string float_field(int number, float value) {
  return static_cast<char>(number << 3 | 5) + little_endian_bytes(value);
}
[[nodiscard]] THAW_INLINE std::string bytes_field(int number, const std::string& value) {
  return static_cast<char>(number << 3 | 2) + varint(value.size()) + value;
}

THAW_INLINE std::string version_event(double time) {
  return double_field(1, time) + bytes_field(3, "brain.Event:2");
}

THAW_INLINE std::string scalars_event(double time, std::int64_t step, const std::vector<Scalar>& scalars) {
  std::string summary;
  for (const Scalar& scalar : scalars)
    summary += bytes_field(1, bytes_field(1, scalar.tag) + float_field(2, static_cast<float>(scalar.value)));
  return double_field(1, time) + integer_field(2, step) + bytes_field(5, summary);
}

THAW_INLINE std::string restart_event(double time, std::int64_t step) {
  constexpr int start = 1;  // of SessionLog.SessionStatus
  return double_field(1, time) + integer_field(2, step) + bytes_field(7, integer_field(1, start));
}

}  // namespace thaw::detail

#endif
