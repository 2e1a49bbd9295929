// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <thaw/checkpoint/file.hpp>
#include <thaw/core/error.hpp>

// A folder of checkpoints: checkpoint-00000012.safetensors and so on, and best.safetensors.
namespace thaw::detail {

[[nodiscard]] inline std::string checkpoint_name(std::int64_t number) {
  return fmt::format("checkpoint-{:08}.safetensors", number);
}

/// The number of a checkpoint's file; none for any other name.
[[nodiscard]] inline std::optional<std::int64_t> checkpoint_number(const std::string& name) {
  constexpr std::string_view begin = "checkpoint-";
  std::int64_t number = 0;
  if (!name.starts_with(begin)) return std::nullopt;
  (void)std::from_chars(name.data() + begin.size(), name.data() + name.size(), number);
  return name == checkpoint_name(number) ? std::optional(number) : std::nullopt;
}

struct NumberedFile {
  std::int64_t number;
  std::filesystem::path path;
};

/// The oldest first. Empty for a folder that is not there.
[[nodiscard]] inline std::vector<NumberedFile> checkpoints_in(const std::filesystem::path& folder) {
  std::vector<NumberedFile> files;
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(folder, failed))
    if (const auto number = checkpoint_number(entry.path().filename().string()))
      files.push_back({*number, entry.path()});
  if (failed && failed != std::errc::no_such_file_or_directory)
    throw FileError(folder.string(), "cannot be read: " + failed.message(), "name a folder that may be read");
  std::ranges::sort(files, {}, &NumberedFile::number);
  return files;
}

/// A folder that one run of one process writes checkpoints to.
class CheckpointFolder {
 public:
  /// Makes it where it is missing. Throws FileError if it cannot be written to, and ConfigError if another process
  /// writes there now, or another run did before.
  CheckpointFolder(std::filesystem::path path, const std::string& run_id, bool clear = true) : path_(std::move(path)) {
    std::error_code failed;
    std::filesystem::create_directories(path_, failed);
    descriptor_ = failed ? -1 : ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor_ < 0 || ::access(path_.c_str(), W_OK) != 0) {
      const std::string why = failed ? failed.message() : std::generic_category().message(errno);
      close();
      throw FileError(path_.string(), "is no folder to write checkpoints to: " + why, "name another one");
    }
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {  // some file systems have no locks
      close();
      throw ConfigError(path_.string(), "another Checkpoint writes there now",
                        "give each run, and each callback, a folder of its own");
    }
    try {
      check_run(run_id);
      if (clear) remove_leftovers();
    } catch (...) {
      close();
      throw;
    }
  }
  ~CheckpointFolder() { close(); }

  /// Throws as the constructor does, and makes nothing.
  static void check(const std::filesystem::path& path, const std::string& run_id) {
    std::error_code failed;
    const auto status = std::filesystem::status(path, failed);
    if (!std::filesystem::exists(status)) return;
    if (!std::filesystem::is_directory(status)) throw FileError(path.string(), "is a file", "name a folder");
    (void)CheckpointFolder(path, run_id, /*clear=*/false);
  }
  CheckpointFolder(const CheckpointFolder&) = delete;
  CheckpointFolder& operator=(const CheckpointFolder&) = delete;

  /// Writes one, then removes the oldest, so that `keep` stay, and those of higher numbers: they are damaged, or of a
  /// branch that was given up when the run was resumed from an older one.
  void add(const RunState& state, std::int64_t number, const std::string& run_id, std::int64_t keep, bool best) const {
    const std::filesystem::path file = path_ / checkpoint_name(number);
    write_checkpoint(state, file, run_id);
    if (best) link_best(file);
    std::vector<NumberedFile> files = checkpoints_in(path_);
    std::error_code ignored;
    for (; files.back().number > number; files.pop_back()) std::filesystem::remove(files.back().path, ignored);
    for (std::size_t i = 0; i + static_cast<std::size_t>(keep) < files.size(); ++i)
      std::filesystem::remove(files[i].path, ignored);
  }

 private:
  void close() {
    if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  }

  /// A run does not write over another's checkpoints.
  void check_run(const std::string& run_id) const {
    for (const NumberedFile& file : checkpoints_in(path_)) {
      std::string found;
      try {
        found = read_metadata(file.path).at("run");
      } catch (const FileError&) {  // a damaged one says nothing
        continue;
      } catch (const std::out_of_range&) {  // a checkpoint that names no run is another's
        found.clear();
      }
      if (found != run_id)
        throw ConfigError(
            path_.string(), "holds checkpoints of another run",
            "thaw::resume(learner, folder) before the first fit goes on with it; else name another folder");
    }
  }

  /// What a process that was killed was writing.
  void remove_leftovers() const {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(path_, ignored)) {
      const std::string name = entry.path().filename().string();
      const auto end = name.find(".safetensors.");
      if (name.ends_with(".tmp") && end != std::string::npos &&
          (checkpoint_number(name.substr(0, end) + ".safetensors") || name.starts_with("best.")))
        std::filesystem::remove(entry.path(), ignored);
    }
  }

  /// best.safetensors is the same file by another name, so that it costs nothing and outlives the other name.
  void link_best(const std::filesystem::path& file) const {
    const std::filesystem::path best = path_ / "best.safetensors", beside = path_ / "best.safetensors.link.tmp";
    std::error_code failed;
    std::filesystem::remove(beside, failed);
    std::filesystem::create_hard_link(file, beside, failed);
    if (failed) std::filesystem::copy_file(file, beside, failed);  // a file system without links
    if (!failed) std::filesystem::rename(beside, best, failed);
    if (failed) throw FileError(best.string(), "cannot be written: " + failed.message(), "make room on the disk");
  }

  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace thaw::detail
