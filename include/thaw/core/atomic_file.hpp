// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <utility>

namespace thaw::detail {

/// Throws FileError unless the folder that a file is to be written to is there.
void check_folder_of(const std::filesystem::path& path);

/// A file that is written beside `path` and takes its name when it is whole and on the disk, and so is the name:
/// whatever happens before, the old file of that name is still there.
class AtomicFile {
 public:
  /// Throws FileError if no file can be made there.
  explicit AtomicFile(std::filesystem::path path);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  /// A failure is kept, and thrown by `commit`.
  void write(std::string_view bytes);

  /// Throws FileError if anything could not be written, or the old file not be replaced.
  void commit();

 private:
  [[nodiscard]] std::filesystem::path name_beside() const;
  /// Without it the name may be lost with the power. Some file systems cannot: then it is as safe as they are.
  void flush_folder() const;
  [[nodiscard]] FileError failed(const std::string& what, std::string fix) const {
    return {path_.string(), what + ": " + std::generic_category().message(errno), std::move(fix)};
  }

  std::filesystem::path path_, beside_;
  std::FILE* file_;
  int error_ = 0;
};

}  // namespace thaw::detail

#if THAW_DEFINES(core)

namespace thaw::detail {

THAW_INLINE void check_folder_of(const std::filesystem::path& path) {
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error))
    throw FileError(path.string(), "there is no folder " + folder.string(), "make it first, or name another one");
}

THAW_INLINE AtomicFile::AtomicFile(std::filesystem::path path)
    : path_(std::move(path)), beside_(name_beside()), file_(std::fopen(beside_.c_str(), "wbx")) {
  if (file_ == nullptr) throw failed("cannot be created", "name a file in a folder that exists and may be written to");
}

THAW_INLINE AtomicFile::~AtomicFile() {
  if (file_ == nullptr) return;
  std::fclose(file_);
  std::error_code ignored;
  std::filesystem::remove(beside_, ignored);
}

THAW_INLINE void AtomicFile::write(std::string_view bytes) {
  if (error_ != 0 || bytes.empty()) return;  // no bytes may come as a null pointer
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size()) error_ = errno;
}

THAW_INLINE void AtomicFile::commit() {
  if (error_ == 0 && (std::fflush(file_) != 0 || ::fsync(::fileno(file_)) != 0)) error_ = errno;
  if (error_ != 0) {
    errno = error_;
    throw failed("cannot be written", "make room on the disk, or write to another one");
  }
  if (std::rename(beside_.c_str(), path_.c_str()) != 0) {
    throw failed("cannot be replaced", "name a file that may be written to");
  }
  std::fclose(std::exchange(file_, nullptr));
  flush_folder();
}

THAW_INLINE std::filesystem::path AtomicFile::name_beside() const {
  const auto own = reinterpret_cast<std::uintptr_t>(this);  // differs between threads
  std::filesystem::path name = path_;
  return name += "." + std::to_string(::getpid()) + "-" + std::to_string(own) + ".tmp";
}

THAW_INLINE void AtomicFile::flush_folder() const {
  const std::filesystem::path folder = path_.has_parent_path() ? path_.parent_path() : ".";
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  (void)::fsync(descriptor);
  ::close(descriptor);
}

}  // namespace thaw::detail

#endif
