// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/Storage.h>

#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <thaw/weights/detail/format.hpp>
#include <thaw/weights/detail/safetensors_header.hpp>
#include <thaw/weights/detail/source.hpp>
#include <thaw/weights/detail/tensor_spec.hpp>
#include <thaw/weights/state_dict.hpp>
#include <utility>

namespace thaw {

namespace detail {

struct SafetensorsParts {
  std::string_view header, data;
};

[[nodiscard]] inline SafetensorsParts split_safetensors(const Source& source) {
  if (!looks_like_safetensors(source.bytes))
    throw source.damaged("its first bytes are not those of a safetensors file");
  const auto length = little_endian<std::uint64_t>(source.bytes);
  const std::string_view header = source.slice(sizeof length, length);
  return {header, source.bytes.substr(sizeof length + length)};
}

[[nodiscard]] inline StateDict read_safetensors(const Source& source) {
  const auto [header, data] = split_safetensors(source);
  StateDict state;
  for (std::deque<SafeTensor> entries = parse_tensors(source, header, data.size()); !entries.empty();) {
    SafeTensor& entry = entries.front();
    const c10::Storage storage = storage_of(source, data.substr(entry.begin, entry.end - entry.begin));
    at::Tensor tensor = at::empty({0}, at::TensorOptions().dtype(entry.dtype));
    state.insert(std::move(entry.name), tensor.set_(storage, 0, entry.shape));
    entries.pop_front();  // a description goes as its tensor comes
  }
  return state;
}

}  // namespace detail

/// Reads a safetensors file. The tensors are on the CPU, in the order of their bytes in the file, and lie in it as
/// read_weights says.
///
/// Every size and offset is checked before it is used. Throws FileError for a file that is missing, damaged or of
/// another kind. Source: https://huggingface.co/docs/safetensors
[[nodiscard]] inline StateDict read_safetensors(const std::filesystem::path& path) {
  return detail::read_safetensors(detail::map_file(path));
}

/// The texts that a safetensors file holds beside its tensors: its `__metadata__`. Throws FileError as above.
/// Example: `thaw::read_metadata("net.safetensors").at("epoch")`
[[nodiscard]] inline std::map<std::string, std::string> read_metadata(const std::filesystem::path& path) {
  const detail::Source source = detail::map_file(path);
  return detail::parse_metadata(source, detail::split_safetensors(source).header);
}

}  // namespace thaw
