#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <thaw/core/error.hpp>
#include <thaw/weights/detail/legacy.hpp>
#include <thaw/weights/detail/source.hpp>

namespace thaw::detail {

enum class Format { zip, legacy, safetensors };

/// A safetensors file begins with the length of its JSON header; longer headers are refused, as its own library does.
inline constexpr std::uint64_t longest_header = 100'000'000;

[[nodiscard]] inline bool looks_like_safetensors(std::string_view bytes) {
  return bytes.size() > 8 && bytes[8] == '{' && little_endian<std::uint64_t>(bytes) <= longest_header;
}

[[nodiscard]] inline bool looks_like_text(std::string_view bytes) {
  const auto printable = [](char c) { return (c >= ' ' && c < 0x7f) || c == '\n' || c == '\r' || c == '\t'; };
  return std::ranges::all_of(bytes.substr(0, 64), printable);
}

/// What a file that is not of weights seems to be.
[[nodiscard]] inline FileError not_weights(const Source& source) {
  const auto error = [&](std::string what, std::string fix) {
    return FileError(source.name, std::move(what), std::move(fix));
  };
  const std::string_view bytes = source.bytes;
  const std::string fetch = "fetch the file again, from an address that serves the file itself";
  if (bytes.empty()) return error("is empty", "fetch or save the file again");
  if (bytes.starts_with("version https://git-lfs.github.com")) {
    return error("is a git-lfs pointer, not the weights that it stands for", "run `git lfs pull` in its repository");
  }
  if (bytes.size() > 262 && bytes.substr(257, 5) == "ustar") {
    return error("is a tar archive; PyTorch before 0.1.10 saved such files, which thaw does not read",
                 "load it in Python and save it again: torch.save(model.state_dict(), path)");
  }
  if (bytes.starts_with("\x89HDF")) return error("is an HDF5 (Keras) file", "convert it to safetensors in Python");
  if (bytes.starts_with("\x1f\x8b")) return error("is compressed with gzip", "unpack it: gunzip <file>");
  if (bytes.starts_with("GGUF")) return error("is a GGUF file", "convert it to safetensors in Python");
  if (bytes.front() == '\x80') {
    return error("is a Python pickle, but torch.save did not write it",
                 "save the tensors in Python: torch.save(state_dict, path)");
  }
  if (bytes.substr(0, bytes.find_first_not_of(" \t\r\n") + 1).ends_with('<')) {
    return error("is an HTML page, perhaps the error page of a download", fetch);
  }
  if (looks_like_text(bytes)) {
    const auto begin = bytes.substr(0, std::min(bytes.find_first_of("\r\n"), std::size_t{60}));
    return error(fmt::format("is a text: \"{}\"", begin), fetch);
  }
  return error("is no file of weights: neither torch.save's two formats nor safetensors",
               "convert it to safetensors in Python");
}

/// Tells the formats apart by what the file holds.
[[nodiscard]] inline Format format_of(const Source& source) {
  if (source.bytes.starts_with("PK\x03\x04")) return Format::zip;
  if (source.bytes.starts_with('\x80') && source.bytes.substr(0, 32).find(legacy_magic) != std::string_view::npos) {
    return Format::legacy;
  }
  if (looks_like_safetensors(source.bytes)) return Format::safetensors;
  throw not_weights(source);
}

}  // namespace thaw::detail
