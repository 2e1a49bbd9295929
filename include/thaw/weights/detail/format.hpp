// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <string_view>
#include <thaw/core/error.hpp>
#include <thaw/weights/detail/legacy.hpp>
#include <thaw/weights/detail/other_formats.hpp>
#include <thaw/weights/detail/source.hpp>

namespace thaw::detail {

enum class Format { zip, legacy, safetensors };

/// A safetensors file begins with the length of its JSON header; longer headers are refused, as its own library does.
inline constexpr std::uint64_t longest_header = 100'000'000;

[[nodiscard]] inline bool looks_like_safetensors(std::string_view bytes) {
  return bytes.size() > 8 && bytes[8] == '{' && little_endian<std::uint64_t>(bytes) <= longest_header;
}

/// What a file that is not of weights seems to be.
[[nodiscard]] inline FileError not_weights(const Source& source) {
  if (source.bytes.empty()) return {source.name, "is empty", "fetch or save the file again"};
  return other_format(source.bytes).error(source.name);
}

/// Tells the formats apart by what the file holds.
[[nodiscard]] inline Format format_of(const Source& source) {
  if (source.name.ends_with(".distcp")) {
    throw FileError(source.name, "is part of a checkpoint of torch.distributed.checkpoint, which is a folder",
                    "turn it into one file: python3 -m torch.distributed.checkpoint.format_utils dcp_to_torch <folder> "
                    "net.pth");
  }
  if (source.bytes.starts_with("PK\x03\x04")) return Format::zip;
  if (source.bytes.starts_with('\x80') && source.bytes.substr(0, 32).find(legacy_magic) != std::string_view::npos) {
    return Format::legacy;
  }
  if (looks_like_safetensors(source.bytes)) return Format::safetensors;
  throw not_weights(source);
}

}  // namespace thaw::detail
