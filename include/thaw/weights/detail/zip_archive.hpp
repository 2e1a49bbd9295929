#pragma once

#include <c10/core/Storage.h>
#include <c10/util/Exception.h>
#include <caffe2/serialize/inline_container.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <thaw/weights/detail/find_state_dict.hpp>
#include <thaw/weights/detail/pickle.hpp>
#include <thaw/weights/detail/source.hpp>
#include <thaw/weights/detail/tensor_spec.hpp>
#include <unordered_map>
#include <utility>

namespace thaw::detail {

/// Lets LibTorch's zip reader read from memory, never beyond its end (its own MemoryReadAdapter does not look).
class BoundedReadAdapter final : public caffe2::serialize::ReadAdapterInterface {
 public:
  explicit BoundedReadAdapter(std::string_view bytes) : bytes_(bytes) {}

  [[nodiscard]] std::size_t size() const override { return bytes_.size(); }

  std::size_t read(std::uint64_t position, void* buffer, std::size_t count, const char*) const override {
    const std::size_t begin = std::min<std::uint64_t>(position, bytes_.size());
    const std::size_t taken = std::min(count, bytes_.size() - begin);
    if (taken > 0) std::memcpy(buffer, bytes_.data() + begin, taken);
    return taken;
  }

 private:
  std::string_view bytes_;
};

/// The zip archive that torch.save writes. All that is read from it together cannot be more than the file holds, so
/// that neither compressed nor overlapping records can fill the memory.
class ZipArchive {
 public:
  explicit ZipArchive(const Source& source) : source_(source), left_(source.bytes.size()) {
    guarded([&] {
      reader_ = std::make_unique<caffe2::serialize::PyTorchStreamReader>(
          std::make_shared<BoundedReadAdapter>(source.bytes));
    });
  }

  [[nodiscard]] bool has(const std::string& record) {
    return guarded([&] { return reader_->hasRecord(record); });
  }

  [[nodiscard]] c10::Storage read(const std::string& record) {
    return guarded([&] {
      const std::size_t size = reader_->getRecordSize(record);
      if (size > left_) throw source_.damaged(fmt::format("record '{}' is larger than the file", record));
      left_ -= size;
      auto [data, read] = reader_->getRecord(record);
      return own(std::move(data), read);
    });
  }

 private:
  template <class Action>
  auto guarded(Action&& action) -> decltype(action()) {
    try {
      return action();
    } catch (const FileError&) {
      throw;
    } catch (const c10::Error& error) {
      throw source_.damaged(first_line(error));
    } catch (const std::exception& error) {
      throw source_.damaged(error.what());
    }
  }

  const Source& source_;
  std::size_t left_;
  std::unique_ptr<caffe2::serialize::PyTorchStreamReader> reader_;
};

[[nodiscard]] inline std::string_view view_of(const c10::Storage& storage) {
  return {static_cast<const char*>(storage.data()), storage.nbytes()};
}

/// What torch.save writes since 1.6: data.pkl, and a record for every storage.
[[nodiscard]] inline StateDict read_zip(const Source& source, const std::string& key) {
  ZipArchive archive(source);
  if (archive.has("constants.pkl")) {
    throw FileError(source.name, "is a TorchScript archive: a program with its weights, not a state dict",
                    "save its tensors in Python: torch.save(torch.jit.load(path).state_dict(), new_path)");
  }
  if (!archive.has("data.pkl")) {
    throw FileError(source.name, "is a zip archive, but not one that torch.save wrote", "unpack it and name the file inside it");
  }
  if (archive.has("byteorder") && view_of(archive.read("byteorder")) != "little") {
    throw FileError(source.name, "was written by a big-endian machine",
                    "load it in Python and save it again on a little-endian machine");
  }
  const c10::Storage text = archive.read("data.pkl");
  const Pickle pickle = Unpickler(source, view_of(text)).read();

  std::unordered_map<std::string_view, c10::Storage> storages;
  return read_state_dict(source, pickle, key, [&](const StorageRef& ref) {
    auto [place, is_new] = storages.try_emplace(ref.key);
    if (is_new) place->second = archive.read(fmt::format("data/{}", ref.key));
    if (place->second.nbytes() != ref.bytes) {
      throw source.damaged(fmt::format("storage '{}' has {} bytes, not {}", ref.key, place->second.nbytes(), ref.bytes));
    }
    return place->second;
  });
}

}  // namespace thaw::detail
