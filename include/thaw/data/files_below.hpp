// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <limits>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/data/class_names.hpp>

namespace thaw {

/// What systems leave beside the files: .DS_Store, and macOS's folder in an archive.
[[nodiscard]] inline bool is_hidden(const std::filesystem::path& path) {
  return path.filename().string().starts_with(".") || path.filename() == "__MACOSX";
}

/// Files in a folder and in those within it.
struct FilesBelow {
  std::vector<std::filesystem::path> files = {};  ///< in the order of their names
  std::vector<std::string> passed_over = {};      ///< links that lead nowhere, or back to a folder that they lie in
};

namespace detail {

struct FilesBelowWalk {
  const std::function<bool(const std::filesystem::path&)>& wanted;
  std::size_t most;
  FilesBelow found = {};
  std::set<std::filesystem::path> within = {};  // the folders that the walk is in, without links

  void walk(const std::filesystem::path& folder) {
    const auto entered = within.insert(std::filesystem::canonical(folder));
    if (!entered.second) {
      found.passed_over.push_back(folder.string() + ": a link back to a folder that it lies in");
      return;
    }
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (found.files.size() >= most) break;
      if (is_hidden(entry.path())) continue;
      std::error_code error;
      const std::filesystem::file_status status = entry.status(error);  // of what a link leads to
      if (std::filesystem::is_directory(status))
        walk(entry.path());
      else if (std::filesystem::is_regular_file(status) && wanted(entry.path()))
        found.files.push_back(entry.path());
      else if (!std::filesystem::exists(status) && entry.is_symlink(error))
        found.passed_over.push_back(entry.path().string() + ": a link that leads nowhere");
    }
    within.erase(entered.first);
  }
};

}  // namespace detail

/// The files for which `wanted(path)` holds; hidden ones are left out, links are followed. Throws FileError for a
/// folder that cannot be read, with `fix`. Looks for no more than `most`, which are any.
[[nodiscard]] inline FilesBelow files_below(const std::filesystem::path& folder,
                                            const std::function<bool(const std::filesystem::path&)>& wanted,
                                            const std::string& fix,
                                            std::size_t most = std::numeric_limits<std::size_t>::max()) {
  detail::FilesBelowWalk walk{.wanted = wanted, .most = most};
  try {
    walk.walk(folder);
  } catch (const std::filesystem::filesystem_error& error) {
    throw FileError((error.path1().empty() ? folder : error.path1()).string(),
                    "cannot be read: " + error.code().message(), fix);
  }
  std::ranges::sort(walk.found.files);
  std::ranges::sort(walk.found.passed_over);
  return walk.found;
}

/// Throws DataError for a folder whose folders are no classes: one has no file of `files`, which are those below it, so
/// that its class would vanish; or they are the parts of a data set. `what` is in such files: "image".
inline void check_class_folders(const std::filesystem::path& folder, const std::vector<std::filesystem::path>& files,
                                const std::string& what, const std::string& parts_fix) {
  std::set<std::string> with_files;
  for (const auto& file : files)
    if (const auto within = file.lexically_relative(folder); within.has_parent_path())
      with_files.insert(within.begin()->string());
  const std::vector<std::string> classes(with_files.begin(), with_files.end());
  refuse_parts_as_classes(folder.string(), classes, parts_fix);
  std::vector<std::filesystem::path> empty;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::error_code error;
    if (entry.is_directory(error) && !is_hidden(entry.path()) && !with_files.contains(entry.path().filename().string()))
      empty.push_back(entry.path());
  }
  if (!empty.empty())
    throw DataError(std::ranges::min(empty).string(), "a class's folder without " + what,
                    "put the class's files in, remove the folder, or name the classes");
}

}  // namespace thaw
