#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <thaw/weights/detail/format.hpp>
#include <thaw/weights/detail/safetensors_header.hpp>
#include <thaw/weights/detail/source.hpp>
#include <thaw/weights/state_dict.hpp>

namespace thaw {

namespace detail {

[[nodiscard]] inline StateDict read_safetensors(const Source& source) {
  if (!looks_like_safetensors(source.bytes))
    throw source.damaged("its first bytes are not those of a safetensors file");
  const auto length = little_endian<std::uint64_t>(source.bytes);
  const std::string_view header = source.slice(sizeof length, length);
  const std::string_view data = source.bytes.substr(sizeof length + length);

  StateDict state;
  for (const SafeTensor& entry : parse_tensors(source, header, data.size())) {
    at::Tensor tensor = at::empty(entry.shape, at::TensorOptions().dtype(entry.dtype));
    const std::string_view bytes = data.substr(entry.begin, entry.end - entry.begin);
    if (!bytes.empty()) std::memcpy(tensor.mutable_data_ptr(), bytes.data(), bytes.size());
    state.insert(entry.name, std::move(tensor));
  }
  return state;
}

}  // namespace detail

/// Reads a safetensors file. The tensors are on the CPU, in the order of their bytes in the file.
///
/// Every size and offset is checked before it is used. Throws FileError for a file that is missing, damaged or of
/// another kind. Source: https://huggingface.co/docs/safetensors
[[nodiscard]] inline StateDict read_safetensors(const std::filesystem::path& path) {
  const detail::MappedFile file(path);
  return detail::read_safetensors(file.source());
}

}  // namespace thaw
