// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <c10/core/ScalarType.h>
#include <c10/util/ArrayRef.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <thaw/weights/detail/pickle_globals.hpp>
#include <utility>

namespace thaw::detail {

/// Python's name of an element type, or of the storage that holds it; empty if it has none.
[[nodiscard]] inline std::string_view python_name(Role role, at::ScalarType dtype) {
  const auto found = std::ranges::find_if(
      pickle_globals, [&](const Global& global) { return global.role == role && global.dtype == dtype; });
  return found == pickle_globals.end() ? std::string_view{} : found->name;
}

/// Writes a pickle of protocol 2, an object after the other, as Python's own pickler orders them.
class PickleWriter {
 public:
  PickleWriter() = default;

  PickleWriter& op(char op) {
    bytes_ += op;
    return *this;
  }
  /// "torch._utils._rebuild_tensor_v2": the last part is the name, the rest its module.
  PickleWriter& global(std::string_view name) {
    const std::size_t dot = name.rfind('.');
    bytes_.append("c").append(name.substr(0, dot)).append("\n").append(name.substr(dot + 1)).append("\n");
    return *this;
  }
  PickleWriter& text(std::string_view text) { return op('X').raw(text.size(), 4).append(text); }
  PickleWriter& number(std::int64_t number) {
    const auto bits = static_cast<std::uint64_t>(number);
    if (bits <= 0xff) return op('K').raw(bits, 1);
    if (bits <= 0xffff) return op('M').raw(bits, 2);
    if (bits <= 0x7fffffff) return op('J').raw(bits, 4);
    return op('\x8a').raw(8, 1).raw(bits, 8);
  }
  PickleWriter& tuple(at::IntArrayRef numbers) {
    op('(');
    for (const std::int64_t each : numbers) number(each);
    return op('t');
  }
  PickleWriter& ordered_dict() { return global("collections.OrderedDict").op(')').op('R'); }

  [[nodiscard]] std::string finish() && { return std::move(op('.').bytes_); }

 private:
  PickleWriter& append(std::string_view bytes) {
    bytes_.append(bytes);
    return *this;
  }
  /// Least byte first.
  PickleWriter& raw(std::uint64_t bits, int bytes) {
    for (; bytes > 0; --bytes, bits >>= 8) bytes_ += static_cast<char>(bits & 0xff);
    return *this;
  }

  std::string bytes_ = "\x80\x02";
};

}  // namespace thaw::detail
