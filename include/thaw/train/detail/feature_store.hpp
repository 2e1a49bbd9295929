// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/ops/empty.h>
#include <ATen/ops/from_file.h>
#include <c10/core/TensorOptions.h>
#include <c10/util/ScopeExit.h>
#include <c10/util/accumulate.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include <thaw/core/error.hpp>
#include <thaw/train/cache.hpp>

namespace thaw::detail {

[[nodiscard]] inline std::string megabytes(std::int64_t bytes) {
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

/// A tensor in a file that is mapped into memory and has no name any more: it is gone with the tensor, or with the
/// program however that ends. Its space is reserved first, since a full disk would kill the program later.
[[nodiscard]] inline at::Tensor tensor_on_disk(const std::filesystem::path& directory, at::IntArrayRef sizes,
                                               at::ScalarType dtype) {
  std::string path =
      ((directory.empty() ? std::filesystem::temp_directory_path() : directory) / "thaw-XXXXXX").string();
  const int file = ::mkstemp(path.data());
  const auto failed = [&](int error, const std::string& what) {
    return FileError(path, what + ": " + std::generic_category().message(error),
                     "give Cache::directory a folder with room, or keep features in memory");
  };
  if (file < 0) throw failed(errno, "a file for cached features cannot be made");
  const auto unlink = c10::make_scope_exit([&] { ::close(file), ::unlink(path.c_str()); });
  const std::int64_t numel = c10::multiply_integers(sizes);
  const std::int64_t bytes = numel * static_cast<std::int64_t>(c10::elementSize(dtype));
  if (const int error = ::posix_fallocate(file, 0, bytes); error != 0)
    throw failed(error, "no room for " + megabytes(bytes) + " of cached features");
  return at::from_file(path, /*shared=*/true, numel, at::dtype(dtype)).view(sizes);
}

/// Where the features of a stage are kept, up to a limit in all.
class FeatureStore {
 public:
  explicit FeatureStore(Cache cache) : cache_(std::move(cache)) {}

  /// An empty tensor for `samples` rows like those of `first`. Throws ConfigError over the limit.
  [[nodiscard]] at::Tensor make(const at::Tensor& first, std::int64_t samples) {
    const std::int64_t rows = std::max<std::int64_t>(first.size(0), 1);
    const std::int64_t bytes = first.numel() / rows * samples * static_cast<std::int64_t>(first.element_size());
    if (bytes > cache_.limit - bytes_)
      throw ConfigError(
          "Cache",
          "the frozen part's output takes " + megabytes(bytes_ + bytes) + ", the limit is " + megabytes(cache_.limit),
          "raise Cache::limit, or take Cache::disk");
    bytes_ += bytes;
    auto sizes = first.sizes().vec();
    sizes[0] = samples;
    if (cache_.where == Cache::Where::disk) return tensor_on_disk(cache_.directory, sizes, first.scalar_type());
    return at::empty(sizes, first.options());
  }

  [[nodiscard]] std::int64_t bytes() const { return bytes_; }

 private:
  Cache cache_;
  std::int64_t bytes_ = 0;
};

}  // namespace thaw::detail
