// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <thaw/weights/detail/find_state_dict.hpp>
#include <thaw/weights/detail/format.hpp>
#include <thaw/weights/detail/json_events.hpp>
#include <thaw/weights/detail/source.hpp>
#include <unordered_set>
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

/// The shards of an index by name, and the names of the tensors that each must hold.
class IndexEvents : public JsonEvents {
 public:
  using JsonEvents::JsonEvents;

  std::map<std::string, std::vector<std::string>> shards;
  bool has_map = false;

 private:
  void on_key(int depth, const std::string& key) override {
    if (depth == 1) is_map_ = key == "weight_map";
    if (depth != 2 || !is_map_) return;
    if (!names_.insert(key).second) throw there_twice(source_, key);
    name_ = key;
  }

  void on_value(int depth, const Value& value) override {
    if (!is_map_ || depth > 2) return;
    if (depth == 1) {
      has_map = value.kind == Kind::object;
    } else if (value.kind != Kind::text || !is_plain_file_name(*value.text)) {
      throw source_.damaged(
          fmt::format("it says that '{}' is in {}, which is no file beside it", shown_name(name_), shown(value)));
    } else {
      shards[*value.text].push_back(name_);
    }
  }

  /// A value as an error shows it: a text cut short, of any other its kind alone.
  [[nodiscard]] static std::string shown(const Value& value) {
    constexpr std::array<std::string_view, 7> kinds = {"null",   "boolean", "number", "number",
                                                       "string", "object",  "array"};
    if (value.kind != Kind::text) return fmt::format("a JSON {}", kinds[static_cast<std::size_t>(value.kind)]);
    constexpr std::size_t most = 80;  // bytes, which may end within a character
    const nlohmann::json text = value.text->substr(0, most);
    return text.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }

  std::unordered_set<std::string> names_;
  std::string name_;
  bool is_map_ = false;
};

[[nodiscard]] inline std::map<std::string, std::vector<std::string>> parse_index(const Source& source) {
  IndexEvents index(source);
  index.read(source.bytes);
  if (!index.has_map) throw source.damaged("its weight_map is no JSON object");
  return std::move(index.shards);
}

}  // namespace thaw::detail
