// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <c10/core/Storage.h>
#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <thaw/weights/detail/find_state_dict.hpp>
#include <thaw/weights/detail/pickle.hpp>
#include <thaw/weights/detail/source.hpp>
#include <thaw/weights/detail/tensor_spec.hpp>
#include <thaw/weights/state_dict.hpp>
#include <unordered_map>
#include <utility>

namespace thaw::detail {

/// The number 0x1950a86a20f9469cfc6c, least byte first, with which torch.save began its files before 1.6.
inline constexpr std::string_view legacy_magic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// The stream that torch.save wrote before 1.6: pickles of magic number, protocol, machine, object and storage keys;
/// then every storage as its element count and its bytes.
class LegacyFile {
 public:
  explicit LegacyFile(const Source& source) : source_(source) {
    if (unpickle().root != Value(legacy_magic)) throw source.damaged("the magic number is wrong");
    if (unpickle().root != Value(std::int64_t{1001})) throw source.damaged("the protocol is not 1001");
    check_byte_order(unpickle());
    object_ = unpickle();
    find_storages(unpickle());
  }

  [[nodiscard]] Pickle take_object() { return std::move(object_); }

  [[nodiscard]] c10::Storage storage(const StorageRef& ref) {
    const auto bytes = bytes_.find(ref.key);
    if (bytes == bytes_.end()) throw source_.damaged(fmt::format("storage '{}' is missing", ref.key));
    if (bytes->second.size() != ref.bytes) throw wrong_size(ref.key);
    auto [place, is_new] = storages_.try_emplace(ref.key);
    if (is_new) place->second = storage_of(source_, bytes->second);
    return place->second;
  }

 private:
  Pickle unpickle() {
    Pickle pickle = Unpickler(source_, source_.bytes.substr(at_)).read();
    at_ += pickle.size;
    return pickle;
  }

  void check_byte_order(const Pickle& machine) const {
    const Node* dict = machine.node(machine.root, Node::Kind::dict);
    for (std::size_t i = 0; dict != nullptr && i + 1 < dict->items.size(); i += 2) {
      if (dict->items[i] == Value(std::string_view("little_endian")) && dict->items[i + 1] == Value(false)) {
        throw FileError(source_.name, "was written by a big-endian machine",
                        "load it in Python and save it again on a little-endian machine");
      }
    }
  }

  /// Their order is in the list of keys, their element types only in the object.
  void find_storages(const Pickle& keys) {
    std::unordered_map<std::string_view, std::uint64_t> sizes;
    const SpecReader reader(source_, object_);
    for (const Node& node : object_.nodes) {
      if (node.kind != Node::Kind::persistent || is_class(node)) continue;
      const StorageRef ref = reader.storage(&node);
      if (!sizes.emplace(ref.key, ref.bytes).second && sizes[ref.key] != ref.bytes) throw wrong_size(ref.key);
      widths_.emplace(ref.key, c10::elementSize(ref.dtype));
    }
    const Node* list = keys.node(keys.root, Node::Kind::list);
    if (list == nullptr) throw source_.damaged("the list of storages is missing");
    for (const Value& each : list->items) {
      const auto* key = std::get_if<std::string_view>(&each);
      const auto size = key == nullptr ? sizes.end() : sizes.find(*key);
      if (size == sizes.end()) throw source_.damaged("it lists a storage that no tensor uses");
      take_storage(size->first, size->second);
    }
  }

  /// ("module", class, file, source): a torch.nn.Module that was pickled whole, and is passed over.
  [[nodiscard]] bool is_class(const Node& persistent) const {
    const Node* id = object_.node(persistent.items[0], Node::Kind::tuple);
    return id != nullptr && !id->items.empty() && id->items[0] == Value(std::string_view("module"));
  }

  void take_storage(std::string_view key, std::uint64_t size) {
    const auto count = little_endian<std::uint64_t>(source_.slice(at_, sizeof(std::uint64_t)));
    if (multiply_add(source_, count, widths_[key]) != size) throw wrong_size(key);
    const auto bytes = source_.slice(at_ + sizeof count, size);
    if (!bytes_.emplace(key, bytes).second) throw source_.damaged(fmt::format("storage '{}' is there twice", key));
    at_ += sizeof count + size;
  }

  [[nodiscard]] FileError wrong_size(std::string_view key) const {
    return source_.damaged(fmt::format("storage '{}' has another size than its tensors say", key));
  }

  const Source& source_;
  std::size_t at_ = 0;
  Pickle object_;
  std::unordered_map<std::string_view, std::uint64_t> widths_;
  std::unordered_map<std::string_view, std::string_view> bytes_;
  std::unordered_map<std::string_view, c10::Storage> storages_;
};

[[nodiscard]] inline StateDict read_legacy(const Source& source, const std::string& key) {
  LegacyFile file(source);
  FoundTensors found = dict_tensors(source, file.take_object(), key);
  return read_state_dict(source, std::move(found), [&](const StorageRef& ref) { return file.storage(ref); });
}

}  // namespace thaw::detail
