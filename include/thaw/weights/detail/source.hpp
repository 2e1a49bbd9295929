// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/MapAllocator.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <thaw/core/error.hpp>
#include <thaw/core/first_line.hpp>
#include <thaw/weights/detail/other_formats.hpp>

namespace thaw::detail {

static_assert(std::endian::native == std::endian::little, "thaw reads weight files on little-endian machines only");

/// The bytes of a weight file and the name that errors give it.
struct Source {
  std::string name;
  std::string_view bytes;
  std::shared_ptr<const void> owner = {};  ///< keeps the bytes; without one, whoever made the source does
  bool lends = true;                       ///< tensors may lie in the owner's bytes, and write to them

  [[nodiscard]] FileError damaged(const std::string& how) const {
    return {name, "is damaged: " + how, "fetch or save the file again, and compare its size or checksum"};
  }

  /// `count` bytes from `begin`, all of them or an error.
  [[nodiscard]] std::string_view slice(std::uint64_t begin, std::uint64_t count) const {
    if (begin > bytes.size() || count > bytes.size() - begin) throw damaged("it ends too early");
    return bytes.substr(begin, count);
  }
};

/// The unsigned number at a place in `bytes`, which must be long enough.
template <std::unsigned_integral Number>
[[nodiscard]] Number little_endian(std::string_view bytes, std::size_t place = 0) {
  Number number;
  std::memcpy(&number, bytes.data() + place, sizeof number);
  return number;
}

/// Throws FileError unless `path` is a regular file that can be read.
inline void check_readable(const std::filesystem::path& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) {
    throw FileError(path.string(), "does not exist", "check the path; it is relative to the working directory");
  }
  if (std::filesystem::is_directory(status)) throw other_folder(path).error(path.string());
  if (!std::filesystem::is_regular_file(status)) {
    throw FileError(path.string(), "is not a regular file", "write the weights to a file first");
  }
  if (!std::ifstream(path)) {
    throw FileError(path.string(), "cannot be opened", "check the permissions of the file and its folders");
  }
}

/// A whole file, mapped into memory copy on write: nothing is read but what is used, and what is written to it stays
/// in memory. Nobody may cut the file short meanwhile.
[[nodiscard]] inline Source map_file(const std::filesystem::path& path) {
  check_readable(path);
  std::error_code error;
  const auto size = static_cast<std::size_t>(std::filesystem::file_size(path, error));
  if (error || size == 0) return {path.string(), {}};  // nothing to map
  try {
    constexpr int copy_on_write = 0;
    const auto map =
        std::make_shared<at::DataPtr>(at::MapAllocator::makeDataPtr(path.string(), copy_on_write, size, nullptr));
    return {path.string(), {static_cast<const char*>(map->get()), size}, map};
  } catch (const c10::Error& failure) {
    throw FileError(path.string(), "cannot be mapped into memory: " + first_line(failure), "copy it to a local disk");
  }
}

}  // namespace thaw::detail
