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
#include <string>
#include <string_view>
#include <system_error>
#include <thaw/core/error.hpp>
#include <utility>

namespace thaw::detail {

static_assert(std::endian::native == std::endian::little, "thaw reads weight files on little-endian machines only");

/// The bytes of a weight file, borrowed, and the name that errors give it.
struct Source {
  std::string name;
  std::string_view bytes;

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

/// The first line of a LibTorch error, without its backtrace.
[[nodiscard]] inline std::string first_line(const c10::Error& error) {
  const std::string text = error.what_without_backtrace();
  return text.substr(0, text.find('\n'));
}

/// A whole file in memory: mapped, so that nothing is read but what is used. Nobody may cut it short meanwhile.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path) : name_(path.string()) {
    check(path);
    if (size_ == 0) return;  // nothing to map
    try {
      constexpr int private_read_only = 0;
      data_ = at::MapAllocator::makeDataPtr(name_, private_read_only, size_, nullptr);
    } catch (const c10::Error& failure) {
      throw FileError(name_, "cannot be mapped into memory: " + first_line(failure), "copy it to a local disk");
    }
  }

  [[nodiscard]] Source source() const { return {name_, {static_cast<const char*>(data_.get()), size_}}; }

 private:
  void check(const std::filesystem::path& path) {
    std::error_code error;
    const auto status = std::filesystem::status(path, error);
    if (!std::filesystem::exists(status)) {
      throw FileError(name_, "does not exist", "check the path; it is relative to the working directory");
    }
    if (std::filesystem::is_directory(status)) {
      throw FileError(name_, "is a directory, not a file of weights", "name the file inside it");
    }
    if (!std::filesystem::is_regular_file(status)) {
      throw FileError(name_, "is not a regular file", "write the weights to a file first");
    }
    size_ = static_cast<std::size_t>(std::filesystem::file_size(path, error));
    if (error || !std::ifstream(path)) {
      throw FileError(name_, "cannot be opened", "check the permissions of the file and its folders");
    }
  }

  std::string name_;
  at::DataPtr data_;
  std::size_t size_ = 0;
};

}  // namespace thaw::detail
