#pragma once

#include <c10/core/ScalarType.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <thaw/weights/detail/find_state_dict.hpp>
#include <thaw/weights/detail/source.hpp>
#include <thaw/weights/detail/tensor_spec.hpp>
#include <utility>
#include <vector>

namespace thaw::detail {

/// One tensor of a safetensors file: `begin` and `end` count bytes from the end of the header.
struct SafeTensor {
  std::string name;
  at::ScalarType dtype;
  std::vector<std::int64_t> shape;
  std::uint64_t begin, end;
};

/// The types of safetensors that LibTorch has too.
inline constexpr std::array<std::pair<std::string_view, at::ScalarType>, 16> safetensors_types = {
    {{"F64", at::kDouble},
     {"F32", at::kFloat},
     {"F16", at::kHalf},
     {"BF16", at::kBFloat16},
     {"F8_E4M3", at::kFloat8_e4m3fn},
     {"F8_E5M2", at::kFloat8_e5m2},
     {"I64", at::kLong},
     {"I32", at::kInt},
     {"I16", at::kShort},
     {"I8", at::kChar},
     {"U64", at::kUInt64},
     {"U32", at::kUInt32},
     {"U16", at::kUInt16},
     {"U8", at::kByte},
     {"BOOL", at::kBool},
     {"C64", at::kComplexFloat}}};

/// Its name for a type; empty if it has none.
[[nodiscard]] inline std::string_view safetensors_name(at::ScalarType dtype) {
  for (const auto& [name, type] : safetensors_types) {
    if (type == dtype) return name;
  }
  return {};
}

[[nodiscard]] inline at::ScalarType safetensors_dtype(const Source& source, const std::string& name) {
  for (const auto& [known, type] : safetensors_types) {
    if (known == name) return type;
  }
  throw FileError(source.name, fmt::format("holds tensors of type '{}', which thaw does not know", name),
                  "convert them to F32, F16 or BF16 in Python");
}

/// JSON whose objects at this depth (1 is the outermost) name nothing twice.
[[nodiscard]] inline nlohmann::json parse_json(const Source& source, std::string_view text, int unique_depth = 1) {
  using nlohmann::json;
  std::set<std::string> names;
  const auto only_once = [&](int depth, json::parse_event_t event, json& parsed) {
    if (event != json::parse_event_t::key) return true;
    if (depth < unique_depth) names.clear();  // another object begins
    if (depth == unique_depth && !names.insert(parsed.get<std::string>()).second) {
      throw source.damaged(fmt::format("tensor '{}' is there twice", parsed.get<std::string>()));
    }
    return true;
  };
  try {
    json header = json::parse(text, only_once);
    if (!header.is_object()) throw source.damaged("its header is no JSON object");
    return header;
  } catch (const json::exception& error) {
    throw source.damaged(fmt::format("its header is no JSON: {}", error.what()));
  }
}

/// A number of a header that must be a whole one.
[[nodiscard]] inline std::uint64_t whole_number(const Source& source, const nlohmann::json& value) {
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > INT64_MAX) {
    throw source.damaged("its header has a size or an offset that is no whole number");
  }
  return value.get<std::uint64_t>();
}

[[nodiscard]] inline SafeTensor parse_tensor(const Source& source, const std::string& name,
                                             const nlohmann::json& entry) {
  constexpr std::size_t most_dimensions = 64;
  const auto malformed = [&] { return source.damaged(fmt::format("its header describes '{}' wrongly", name)); };
  if (name.size() > longest_name || !entry.is_object()) throw malformed();
  const auto dtype = entry.find("dtype"), shape = entry.find("shape"), offsets = entry.find("data_offsets");
  if (dtype == entry.end() || shape == entry.end() || offsets == entry.end()) throw malformed();
  if (!dtype->is_string() || !shape->is_array() || !offsets->is_array() || offsets->size() != 2) throw malformed();
  if (shape->size() > most_dimensions) throw malformed();

  SafeTensor tensor{name,
                    safetensors_dtype(source, dtype->get<std::string>()),
                    {},
                    whole_number(source, (*offsets)[0]),
                    whole_number(source, (*offsets)[1])};
  std::uint64_t bytes = c10::elementSize(tensor.dtype), bytes_if_not_empty = bytes;
  for (const auto& value : *shape) {
    const std::uint64_t size = whole_number(source, value);
    bytes = multiply_add(source, bytes, size);
    bytes_if_not_empty = multiply_add(source, bytes_if_not_empty, std::max<std::uint64_t>(size, 1));
    tensor.shape.push_back(static_cast<std::int64_t>(size));
  }
  if (tensor.end < tensor.begin || tensor.end - tensor.begin != bytes) throw malformed();
  return tensor;
}

/// All tensors in the order of their bytes, which must cover `data_size` without gap or overlap.
[[nodiscard]] inline std::vector<SafeTensor> parse_tensors(const Source& source, std::string_view text,
                                                           std::uint64_t data_size) {
  std::vector<SafeTensor> tensors;
  const nlohmann::json header = parse_json(source, text);
  for (const auto& [name, entry] : header.items()) {
    if (name != "__metadata__") tensors.push_back(parse_tensor(source, name, entry));
  }
  std::ranges::stable_sort(tensors, {}, [](const SafeTensor& tensor) { return std::pair(tensor.begin, tensor.end); });
  std::uint64_t at = 0;
  for (const SafeTensor& tensor : tensors) {
    if (tensor.begin != at)
      throw source.damaged(fmt::format("'{}' overlaps another tensor, or leaves a gap", tensor.name));
    at = tensor.end;
  }
  if (at != data_size) throw source.damaged(fmt::format("its tensors take {} bytes, but it has {}", at, data_size));
  return tensors;
}

/// What a header holds beside the tensors, which is texts alone.
[[nodiscard]] inline std::map<std::string, std::string> parse_metadata(const Source& source, std::string_view text) {
  const nlohmann::json header = parse_json(source, text);
  std::map<std::string, std::string> metadata;
  const auto found = header.find("__metadata__");
  if (found == header.end()) return metadata;
  if (!found->is_object()) throw source.damaged("its metadata is no JSON object");
  for (const auto& [key, value] : found->items()) {
    if (!value.is_string()) throw source.damaged(fmt::format("its metadata '{}' is no text", key));
    metadata.emplace(key, value.get<std::string>());
  }
  return metadata;
}

}  // namespace thaw::detail
