// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include <thaw/core/error.hpp>
#include <thaw/core/utf8.hpp>

namespace thaw {

/// A text file, without a byte order mark. Throws FileError for one that cannot be read, with `fix`; DataError for what
/// is no UTF-8, naming the first line that is not.
[[nodiscard]] inline std::string read_text(const std::filesystem::path& path, const std::string& fix) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw FileError(path.string(), "cannot be opened", fix);
  std::string text;
  try {
    text.assign(std::istreambuf_iterator<char>(file), {});
  } catch (const std::ios_base::failure&) {
    throw FileError(path.string(), "cannot be read: it is a folder, or on a disk that fails", fix);
  }
  if (text.starts_with("PK\x03\x04"))
    throw DataError(path.string(), "is a zip archive, as .xlsx is, and no text", "export it as CSV");
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF") || text.find('\0') != std::string::npos)
    throw DataError(path.string(), "is UTF-16, or no text: it has zero bytes", "save it as UTF-8");
  const std::string_view all = text;
  for (std::size_t at = 0, line = 1; at < all.size(); ++line) {
    const std::size_t end = std::min(all.find('\n', at), all.size());
    if (!is_utf8(all.substr(at, end - at)))
      throw DataError(path.string() + ":" + std::to_string(line), "no UTF-8",
                      "convert the file, as by iconv -f WINDOWS-1252 -t UTF-8");
    at = end + 1;
  }
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  return text;
}

}  // namespace thaw
