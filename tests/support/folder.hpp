#pragma once

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <vector>

namespace thaw::test {

/// A new folder, gone afterwards with all that is in it.
struct Folder {
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  [[nodiscard]] std::filesystem::path operator/(const std::string& name) const { return path / name; }
  [[nodiscard]] auto files() const { return std::distance(std::filesystem::directory_iterator(path), {}); }

  std::filesystem::path path = next();

 private:
  static std::filesystem::path next() {
    static int count = 0;
    const std::string name = "thaw-test-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
    return std::filesystem::temp_directory_path() / name;
  }
};

/// Names in a folder, sorted.
inline std::vector<std::string> names_in(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

inline std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace thaw::test
