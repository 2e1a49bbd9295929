#pragma once

#include <cerrno>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <thaw/core/error.hpp>

namespace thaw::detail {

/// Writes to a file beside `path` and renames it, so that a reader sees the old text or the new, never a part.
inline void write_file(const std::filesystem::path& path, std::string_view text) {
  std::filesystem::path beside = path;
  const auto own = reinterpret_cast<std::uintptr_t>(&beside);  // differs between threads, and between processes (ASLR)
  beside += "." + std::to_string(std::time(nullptr)) + "-" + std::to_string(own) + ".tmp";
  const auto fail = [&](const std::string& what, std::error_code code, std::string fix) {
    std::error_code ignored;
    std::filesystem::remove(beside, ignored);
    throw FileError(path.string(), what + ": " + code.message(), std::move(fix));
  };
  const auto last_error = [] { return std::error_code{errno, std::generic_category()}; };

  errno = 0;
  std::ofstream file{beside, std::ios::binary};
  if (!file) fail("cannot be created", last_error(), "name a file in a folder that exists and may be written to");
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  file.close();
  if (!file) fail("cannot be written", last_error(), "make room on the disk, or write to another one");
  std::error_code code;
  std::filesystem::rename(beside, path, code);
  if (code) fail("cannot be replaced", code, "name a file that may be written to");
}

}  // namespace thaw::detail
