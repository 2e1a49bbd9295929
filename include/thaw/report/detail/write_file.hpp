// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <filesystem>
#include <string_view>

#include <thaw/core/atomic_file.hpp>

namespace thaw::detail {

/// A reader sees the old text or the new, never a part. Throws FileError if it cannot be written.
inline void write_file(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace thaw::detail
