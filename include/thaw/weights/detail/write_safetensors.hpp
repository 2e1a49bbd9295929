// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <thaw/core/error.hpp>
#include <thaw/weights/detail/safetensors_header.hpp>
#include <thaw/weights/detail/savable.hpp>
#include <thaw/weights/state_dict.hpp>
#include <utility>
#include <vector>

namespace thaw::detail {

/// The header, padded to 8 bytes, of tensors whose bytes follow in this order.
[[nodiscard]] inline std::string safetensors_header(const std::vector<StateDict::value_type>& tensors,
                                                    std::map<std::string, std::string> metadata,
                                                    const std::string& where) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  metadata.try_emplace("format", "pt");  // some of its readers ask for it
  for (const auto& [key, value] : metadata) {
    if (!is_utf8(key) || !is_utf8(value)) {
      throw ConfigError(where, "the metadata is no UTF-8", "give texts of UTF-8, binary ones in base64");
    }
    header["__metadata__"][key] = value;
  }
  std::uint64_t at = 0;
  for (const auto& [name, tensor] : tensors) {
    const std::string_view dtype = safetensors_name(tensor.scalar_type());
    if (dtype.empty()) throw no_type(where, name, tensor, "write a .pth file, or convert the tensor");
    header[name] = {{"dtype", dtype}, {"shape", tensor.sizes().vec()}, {"data_offsets", {at, at + tensor.nbytes()}}};
    at += tensor.nbytes();
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

/// Wider elements come first, so that all are aligned; else in the order of the state dict.
inline void write_safetensors(const StateDict& state, const std::map<std::string, std::string>& metadata,
                              const std::function<void(std::string_view)>& write, const std::string& where) {
  std::vector<StateDict::value_type> tensors;
  for (const auto& [name, tensor] : state) {
    if (name == "__metadata__") throw ConfigError(where, "a tensor has the name '__metadata__'", "give it another");
    tensors.emplace_back(name, savable(where, name, tensor));
  }
  std::ranges::stable_sort(tensors, std::ranges::greater{},
                           [](const auto& each) { return each.second.element_size(); });

  const std::string header = safetensors_header(tensors, metadata, where);
  const auto length = std::bit_cast<std::array<char, 8>>(std::uint64_t{header.size()});
  write({length.data(), length.size()});
  write(header);
  for (const auto& [name, tensor] : tensors) write(bytes_of(tensor.cpu().contiguous()));
}

}  // namespace thaw::detail
