// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <fmt/format.h>

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <thaw/weights/detail/pickle_value.hpp>
#include <thaw/weights/detail/source.hpp>

namespace thaw::detail {

/// The instructions of a pickle, read from front to back.
class PickleBytes {
 protected:
  PickleBytes(const Source& source, std::string_view bytes) : source_(source), bytes_(bytes) {}

  std::string_view take(std::uint64_t count) {
    if (count > bytes_.size() - at_) throw damaged("it ends too early");
    const auto taken = bytes_.substr(at_, static_cast<std::size_t>(count));
    at_ += taken.size();
    return taken;
  }
  std::string_view line() {
    const auto end = bytes_.find('\n', at_);
    if (end == std::string_view::npos) throw damaged("it ends too early");
    const auto text = take(end - at_);
    take(1);
    return text;
  }
  template <std::unsigned_integral Number>
  Number raw() {
    return little_endian<Number>(take(sizeof(Number)));
  }
  template <std::unsigned_integral Number>
  std::int64_t unsigned_number() {
    return std::int64_t{raw<Number>()};
  }
  double big_endian_double() {
    std::uint64_t bits = 0;
    for (const char byte : take(sizeof bits)) bits = bits << 8 | static_cast<unsigned char>(byte);
    return std::bit_cast<double>(bits);
  }
  /// A two's complement number, least byte first.
  static Value integer(std::string_view bytes) {
    if (bytes.size() > sizeof(std::uint64_t)) return bytes;
    const bool negative = !bytes.empty() && (static_cast<unsigned char>(bytes.back()) & 0x80) != 0;
    std::uint64_t bits = negative ? ~std::uint64_t{0} : 0;
    for (std::size_t i = bytes.size(); i-- > 0;) bits = bits << 8 | static_cast<unsigned char>(bytes[i]);
    return std::bit_cast<std::int64_t>(bits);
  }
  [[nodiscard]] FileError damaged(std::string_view how) const {
    return source_.damaged(fmt::format("its pickle is malformed at byte {}: {}", at_, how));
  }

  const Source& source_;
  std::string_view bytes_;
  std::size_t at_ = 0;
};

}  // namespace thaw::detail
