#pragma once

#include <c10/core/Storage.h>
#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <thaw/weights/detail/find_state_dict.hpp>
#include <thaw/weights/detail/pickle.hpp>
#include <thaw/weights/detail/source.hpp>
#include <thaw/weights/detail/tensor_spec.hpp>
#include <thaw/weights/detail/zip_archive.hpp>
#include <thaw/weights/state_dict.hpp>
#include <unordered_map>

namespace thaw::detail {

/// The storages of a zip file, copied out once each. Together they cannot be larger than the file, so that records that
/// overlap cannot fill the memory.
class ZipStorages {
 public:
  ZipStorages(const Source& source, const ZipArchive& archive)
      : source_(source), archive_(archive), left_(source.bytes.size()) {}

  [[nodiscard]] c10::Storage operator()(const StorageRef& ref) {
    auto [place, is_new] = storages_.try_emplace(ref.key);
    if (is_new) place->second = copy(ref);
    if (place->second.nbytes() != ref.bytes) throw wrong_size(ref, place->second.nbytes());
    return place->second;
  }

 private:
  [[nodiscard]] c10::Storage copy(const StorageRef& ref) {
    const std::string_view bytes = archive_.read(fmt::format("data/{}", ref.key));
    if (bytes.size() != ref.bytes) throw wrong_size(ref, bytes.size());
    if (bytes.size() > left_) throw source_.damaged("its records overlap");
    left_ -= bytes.size();
    return copy_bytes(bytes);
  }

  [[nodiscard]] FileError wrong_size(const StorageRef& ref, std::uint64_t bytes) const {
    return source_.damaged(fmt::format("storage '{}' has {} bytes, not {}", ref.key, bytes, ref.bytes));
  }

  const Source& source_;
  const ZipArchive& archive_;
  std::uint64_t left_;
  std::unordered_map<std::string_view, c10::Storage> storages_;
};

/// What torch.save writes since 1.6: data.pkl, and a record for every storage.
[[nodiscard]] inline StateDict read_zip(const Source& source, const std::string& key) {
  const ZipArchive archive(source);
  if (archive.has("constants.pkl")) {
    throw FileError(source.name, "is a TorchScript archive: a program with its weights, not a state dict",
                    "save its tensors in Python: torch.save(torch.jit.load(path).state_dict(), new_path)");
  }
  if (!archive.has("data.pkl")) {
    throw FileError(source.name, "is a zip archive, but torch.save did not write it",
                    "unpack it and name the file inside it");
  }
  if (archive.has("byteorder") && archive.read("byteorder") != "little") {
    throw FileError(source.name, "was written by a big-endian machine",
                    "load it in Python and save it again on a little-endian machine");
  }
  const Pickle pickle = Unpickler(source, archive.read("data.pkl")).read();
  return read_state_dict(source, pickle, key, ZipStorages(source, archive));
}

}  // namespace thaw::detail
