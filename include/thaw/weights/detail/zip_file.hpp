// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <c10/core/Storage.h>
#include <fmt/format.h>

#include <cstdint>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <thaw/weights/detail/find_state_dict.hpp>
#include <thaw/weights/detail/pickle.hpp>
#include <thaw/weights/detail/script_tensors.hpp>
#include <thaw/weights/detail/source.hpp>
#include <thaw/weights/detail/tensor_spec.hpp>
#include <thaw/weights/detail/zip_archive.hpp>
#include <thaw/weights/state_dict.hpp>
#include <unordered_map>
#include <utility>

namespace thaw::detail {

/// The storages of a zip file, each made once. No two have bytes in common, so that together they cannot be larger than
/// the file.
class ZipStorages {
 public:
  ZipStorages(const Source& source, const ZipArchive& archive) : source_(source), archive_(archive) {}

  [[nodiscard]] c10::Storage operator()(const StorageRef& ref) {
    auto [place, is_new] = storages_.try_emplace(ref.key);
    if (is_new) place->second = make(ref);
    if (place->second.nbytes() != ref.bytes) throw wrong_size(ref, place->second.nbytes());
    return place->second;
  }

 private:
  [[nodiscard]] c10::Storage make(const StorageRef& ref) {
    const std::string_view bytes = archive_.read(fmt::format("data/{}", ref.key));
    if (bytes.size() != ref.bytes) throw wrong_size(ref, bytes.size());
    if (!bytes.empty()) take(bytes);
    return storage_of(source_, bytes);
  }

  void take(std::string_view bytes) {
    const char* begin = bytes.data();
    const auto next = taken_.upper_bound(begin);
    const bool overlaps_next = next != taken_.end() && next->first < begin + bytes.size();
    if (overlaps_next || (next != taken_.begin() && std::prev(next)->second > begin)) {
      throw source_.damaged("its records overlap");
    }
    taken_.emplace(begin, begin + bytes.size());
  }

  [[nodiscard]] FileError wrong_size(const StorageRef& ref, std::uint64_t bytes) const {
    return source_.damaged(fmt::format("storage '{}' has {} bytes, not {}", ref.key, bytes, ref.bytes));
  }

  const Source& source_;
  const ZipArchive& archive_;
  std::map<const char*, const char*> taken_;  // where each begins, and ends
  std::unordered_map<std::string_view, c10::Storage> storages_;
};

/// What torch.save writes since 1.6: data.pkl, and a record for every storage. TorchScript archives have the same, and
/// their program, which stays unread.
[[nodiscard]] inline StateDict read_zip(const Source& source, const std::string& key) {
  const ZipArchive archive(source);
  if (!archive.has("data.pkl")) {
    throw other_archive([&](auto test) { return archive.any(test); }).error(source.name);
  }
  if (archive.has("byteorder") && archive.read("byteorder") != "little") {
    throw FileError(source.name, "was written by a big-endian machine",
                    "load it in Python and save it again on a little-endian machine");
  }
  const auto tensors_of = archive.has("constants.pkl") ? script_tensors : dict_tensors;
  FoundTensors found = tensors_of(source, Unpickler(source, archive.read("data.pkl")).read(), key);
  return read_state_dict(source, std::move(found), ZipStorages(source, archive));
}

}  // namespace thaw::detail
