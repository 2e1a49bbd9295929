// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/data/class_names.hpp>
#include <thaw/data/files_below.hpp>
#include <thaw/vision/image_list.hpp>

namespace thaw::vision::detail {

using Path = std::filesystem::path;

inline std::string name_of(const Path& path) {
  return path.filename().string();
}

/// The folders, or else the files, directly in a folder, in the order of their names; hidden ones left out.
inline std::vector<Path> entries_of(const Path& folder, bool folders) {
  std::vector<Path> found;
  try {
    for (const auto& entry : std::filesystem::directory_iterator(folder))
      if (std::error_code dead; !is_hidden(entry.path()) &&  // of a link that leads nowhere
                                (folders ? entry.is_directory(dead) : entry.is_regular_file(dead)))
        found.push_back(entry.path());
  } catch (const std::filesystem::filesystem_error& error) {
    throw FileError(folder.string(), "cannot be read: " + error.code().message(), "name a folder of images");
  }
  std::ranges::sort(found);
  return found;
}

inline bool has_own_images(const Path& folder) {
  return std::ranges::any_of(entries_of(folder, false), has_image_extension);
}
/// In it or in a folder within it.
inline bool has_images(const Path& folder) {
  return !files_below(folder, has_image_extension, "name a folder of images", 1).files.empty();
}
inline bool has_class_folders(const Path& folder) {
  return std::ranges::any_of(entries_of(folder, true), has_images);
}

inline std::string part_of(const Path& folder) {
  return part_called(name_of(folder));
}

inline std::string images(std::int64_t n) {
  return std::to_string(n) + (n == 1 ? " image" : " images");
}
inline std::string in_quotes(const std::string& name) {
  return '"' + name + '"';
}

}  // namespace thaw::vision::detail
