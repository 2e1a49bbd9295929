// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <c10/core/ScalarType.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <thaw/weights/detail/find_state_dict.hpp>
#include <thaw/weights/detail/json_events.hpp>
#include <thaw/weights/detail/source.hpp>
#include <thaw/weights/detail/tensor_spec.hpp>
#include <utility>
#include <vector>

namespace thaw::detail {

/// One tensor of a safetensors file: `begin` and `end` count bytes from the end of the header.
struct SafeTensor {
  std::string name;
  at::ScalarType dtype = at::ScalarType::Undefined;
  std::vector<std::int64_t> shape = {};
  std::uint64_t begin = 0, end = 0;
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

[[nodiscard]] inline at::ScalarType safetensors_dtype(const Source& source, std::string_view name) {
  for (const auto& [known, type] : safetensors_types) {
    if (known == name) return type;
  }
  throw FileError(source.name, fmt::format("holds tensors of type '{}', which thaw does not know", shown_name(name)),
                  "convert them to F32, F16 or BF16 in Python");
}

/// The header of a safetensors file: names and, for each, type, shape and place. Names are not compared yet.
class HeaderEvents : public JsonEvents {
 public:
  using JsonEvents::JsonEvents;

  std::deque<SafeTensor> tensors;

 private:
  enum class Field { dtype, shape, offsets, other };
  static constexpr std::size_t most_dimensions = 64;

  void on_key(int depth, const std::string& key) override {
    if (depth == 1) {
      is_metadata_ = key == "__metadata__";
      if (is_metadata_ && std::exchange(had_metadata_, true)) throw there_twice(source_, key);
      if (key.size() > longest_name) throw malformed("(a long name)");
      if (!is_metadata_) current_ = {.name = key};
      given_ = {};
      offsets_ = 0;
    } else if (depth == 2) {
      field_ = key == "dtype"          ? Field::dtype
               : key == "shape"        ? Field::shape
               : key == "data_offsets" ? Field::offsets
                                       : Field::other;
      bool& given = given_[static_cast<std::size_t>(field_)];
      if (!is_metadata_ && field_ != Field::other && std::exchange(given, true)) throw malformed(current_.name);
    }
  }

  void on_value(int depth, const Value& value) override {
    if (is_metadata_) return;
    if (depth == 1) {
      field_ = Field::other;
      if (value.kind != Kind::object && value.kind != Kind::array)
        throw malformed(current_.name);  // an array lacks all
    } else if (depth == 2) {
      if (field_ == Field::other) return;
      if (value.kind != (field_ == Field::dtype ? Kind::text : Kind::array)) throw malformed(current_.name);
      if (field_ == Field::dtype) current_.dtype = safetensors_dtype(source_, *value.text);
    } else if (depth == 3 && field_ != Field::other) {
      if (value.kind != Kind::whole || value.number > INT64_MAX) {
        throw source_.damaged("its header has a size or an offset that is no whole number");
      }
      if (field_ == Field::shape) {
        if (current_.shape.size() == most_dimensions) throw malformed(current_.name);
        current_.shape.push_back(static_cast<std::int64_t>(value.number));
      } else {
        if (offsets_ == 2) throw malformed(current_.name);
        (offsets_++ == 0 ? current_.begin : current_.end) = value.number;
      }
    }
  }

  void on_end(int depth) override {
    if (depth != 2 || is_metadata_) return;
    if (!given_[0] || !given_[1] || offsets_ != 2) throw malformed(current_.name);
    std::uint64_t bytes = c10::elementSize(current_.dtype), bytes_if_not_empty = bytes;
    for (const std::int64_t each : current_.shape) {
      const auto size = static_cast<std::uint64_t>(each);
      bytes = multiply_add(source_, bytes, size);
      bytes_if_not_empty = multiply_add(source_, bytes_if_not_empty, std::max<std::uint64_t>(size, 1));
    }
    if (current_.end < current_.begin || current_.end - current_.begin != bytes) throw malformed(current_.name);
    tensors.push_back(std::move(current_));
  }

  [[nodiscard]] FileError malformed(std::string_view name) const {
    return source_.damaged(fmt::format("its header describes '{}' wrongly", name));
  }

  SafeTensor current_;
  Field field_ = Field::other;
  std::array<bool, 4> given_ = {};
  int offsets_ = 0;
  bool is_metadata_ = false, had_metadata_ = false;
};

inline void check_names_differ(const Source& source, const std::deque<SafeTensor>& tensors) {
  std::vector<std::string_view> names;
  names.reserve(tensors.size());
  for (const SafeTensor& tensor : tensors) names.push_back(tensor.name);
  std::ranges::sort(names);
  const auto twice = std::ranges::adjacent_find(names);
  if (twice != names.end()) throw there_twice(source, *twice);
}

/// All tensors in the order of their bytes, which must cover `data_size` without gap or overlap.
[[nodiscard]] inline std::deque<SafeTensor> parse_tensors(const Source& source, std::string_view text,
                                                          std::uint64_t data_size) {
  HeaderEvents header(source);
  header.read(text);
  std::deque<SafeTensor> tensors = std::move(header.tensors);
  check_names_differ(source, tensors);
  const auto place = [](const SafeTensor& tensor) { return std::pair(tensor.begin, tensor.end); };
  if (!std::ranges::is_sorted(tensors, {}, place)) std::ranges::stable_sort(tensors, {}, place);
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
class MetadataEvents : public JsonEvents {
 public:
  using JsonEvents::JsonEvents;

  std::map<std::string, std::string> metadata;

 private:
  void on_key(int depth, const std::string& key) override {
    if (depth == 1) is_metadata_ = key == "__metadata__";
    if (depth == 2 && is_metadata_) key_ = key;
  }
  void on_value(int depth, const Value& value) override {
    if (!is_metadata_ || depth > 2) return;
    if (depth == 1 && value.kind != Kind::object) throw source_.damaged("its metadata is no JSON object");
    if (depth == 1) return;
    if (value.kind != Kind::text) throw source_.damaged(fmt::format("its metadata '{}' is no text", key_));
    metadata.insert_or_assign(key_, *value.text);
  }

  std::string key_;
  bool is_metadata_ = false;
};

[[nodiscard]] inline std::map<std::string, std::string> parse_metadata(const Source& source, std::string_view text) {
  MetadataEvents header(source);
  header.read(text);
  return std::move(header.metadata);
}

}  // namespace thaw::detail
