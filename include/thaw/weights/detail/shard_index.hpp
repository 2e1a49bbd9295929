#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <thaw/weights/detail/format.hpp>
#include <thaw/weights/detail/safetensors_header.hpp>
#include <thaw/weights/detail/source.hpp>
#include <thaw/weights/detail/utf8.hpp>
#include <vector>

namespace thaw::detail {

/// Whether this is the index of a sharded file, as "model.safetensors.index.json" and "pytorch_model.bin.index.json".
[[nodiscard]] inline bool looks_like_index(std::string_view bytes) {
  const std::size_t first = bytes.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && bytes[first] == '{' && bytes.size() <= longest_header &&
         bytes.find("\"weight_map\"") != std::string_view::npos;
}

/// A shard lies beside its index: its name is no path, so that an index cannot point elsewhere.
[[nodiscard]] inline bool is_plain_file_name(std::string_view name) {
  const auto odd = [](char c) { return c == '/' || c == '\\' || static_cast<unsigned char>(c) < ' ' || c == '\x7f'; };
  return !name.empty() && name != "." && name != ".." && name.size() <= 255 && std::ranges::none_of(name, odd);
}

/// A value as an error shows it: a text cut short, of any other its kind alone, for nlohmann's dump recurses.
[[nodiscard]] inline std::string shown(const nlohmann::json& value) {
  using nlohmann::json;
  if (!value.is_string()) return fmt::format("a JSON {}", value.type_name());
  constexpr std::size_t most = 80;  // bytes, which may end within a character
  const json text = value.get_ref<const std::string&>().substr(0, most);
  return text.dump(-1, ' ', false, json::error_handler_t::replace);
}

/// The shards of an index by name, and the names of the tensors that each must hold.
[[nodiscard]] inline std::map<std::string, std::vector<std::string>> parse_index(const Source& source) {
  const nlohmann::json index = parse_json(source, source.bytes, /*unique_depth=*/2);
  const auto map = index.find("weight_map");
  if (map == index.end() || !map->is_object()) throw source.damaged("its weight_map is no JSON object");
  std::map<std::string, std::vector<std::string>> shards;
  for (const auto& [name, file] : map->items()) {
    if (!file.is_string() || !is_plain_file_name(file.get_ref<const std::string&>())) {
      throw source.damaged(fmt::format("it says that '{}' is in {}, which is no file beside it", name, shown(file)));
    }
    shards[file.get<std::string>()].push_back(name);
  }
  return shards;
}

}  // namespace thaw::detail
