// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/ops/zeros.h>
#include <torch/version.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <thaw/checkpoint/detail/checksum.hpp>
#include <thaw/core/atomic_file.hpp>
#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/core/version.hpp>
#include <thaw/train/run_state.hpp>
#include <thaw/weights/safetensors.hpp>
#include <thaw/weights/save.hpp>

namespace thaw {

namespace detail {

constexpr const char* checksum_name = "checksum";

/// Whether the last 16 bytes are the checksum of all before them. Throws FileError for a file that cannot be read.
[[nodiscard]] bool is_whole(const std::filesystem::path& path);

}  // namespace detail

/// Writes a run's state as one file: a safetensors file that Python opens too, whose last tensor, "checksum", is the
/// XXH3 of all bytes before it. It is written beside, flushed, renamed: whatever happens, a file of that name is whole.
/// Throws FileError.
void write_checkpoint(const RunState& state, const std::filesystem::path& path, const std::string& run_id = "");

/// Reads what write_checkpoint wrote. Throws FileError for a file that is missing, damaged in any byte, or of another
/// kind.
[[nodiscard]] RunState read_checkpoint(const std::filesystem::path& path);

}  // namespace thaw

#if THAW_DEFINES(checkpoint)

namespace thaw::detail {

THAW_INLINE bool is_whole(const std::filesystem::path& path) {
  const auto refuse = [&](const std::string& problem, const std::string& fix) {
    return FileError(path.string(), problem, fix);
  };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rbe"), &std::fclose);
  if (!file)
    throw refuse("cannot be opened: " + std::generic_category().message(errno), "name a checkpoint that is there");
  constexpr std::size_t piece = std::size_t{1} << 20;
  Checksum checksum;
  std::string bytes;  // what was read and may still be the checksum
  for (std::size_t read = piece; read == piece;) {
    const std::size_t kept = bytes.size();
    bytes.resize(kept + piece);
    read = std::fread(bytes.data() + kept, 1, piece, file.get());
    bytes.resize(kept + read);
    if (bytes.size() <= Checksum::size) continue;
    checksum.add(std::string_view(bytes).substr(0, bytes.size() - Checksum::size));
    bytes.erase(0, bytes.size() - Checksum::size);
  }
  if (std::ferror(file.get()) != 0)
    throw refuse("cannot be read: " + std::generic_category().message(errno), "check the disk");
  return bytes == checksum.digest();
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE void write_checkpoint(const RunState& state, const std::filesystem::path& path, const std::string& run_id) {
  StateDict tensors;
  for (const auto& [name, tensor] : state) tensors.insert(name, tensor);
  const at::Tensor checksum = at::zeros({detail::Checksum::size}, at::kByte);
  tensors.insert(detail::checksum_name, checksum);
  detail::AtomicFile file(path);
  detail::Checksum sum;
  write_safetensors(tensors,
                    [&](std::string_view bytes) {
                      if (bytes.data() == checksum.const_data_ptr()) return;
                      sum.add(bytes);
                      file.write(bytes);
                    },
                    {.metadata = {{"thaw", version}, {"libtorch", TORCH_VERSION}, {"run", run_id}}});
  file.write(sum.digest());
  file.commit();
}

THAW_INLINE RunState read_checkpoint(const std::filesystem::path& path) {
  if (!detail::is_whole(path))
    throw FileError(path.string(), "is damaged: its checksum is another one", "take an older checkpoint");
  RunState state;
  for (const auto& [name, tensor] : read_safetensors(path))
    if (name != detail::checksum_name) state.emplace(name, tensor);
  return state;
}

}  // namespace thaw

#endif
