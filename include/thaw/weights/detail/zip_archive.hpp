// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <thaw/weights/detail/source.hpp>
#include <unordered_map>

namespace thaw::detail {

/// The records of a zip archive as torch.save writes it: uncompressed, under one folder, with zip64 sizes.
///
/// Not LibTorch's PyTorchStreamReader: that one inflates a record while it opens the archive, so that a file of 1 MB
/// takes 2 GB (measured, LibTorch 2.13); here nothing is allocated but a table of names. Format: PKWARE's APPNOTE.TXT.
class ZipArchive {
 public:
  explicit ZipArchive(const Source& source) : source_(source) {
    auto [place, count] = find_directory();
    for (; count > 0; --count) place = add_record(place);
  }

  [[nodiscard]] bool has(std::string_view record) const { return records_.contains(record); }

  /// Whether the name of a record passes a test.
  template <class Test>
  [[nodiscard]] bool any(Test test) const {
    return std::ranges::any_of(records_, [&](const auto& record) { return test(record.first); });
  }

  /// The bytes of a record, named without the folder.
  [[nodiscard]] std::string_view read(std::string_view name) const {
    const auto found = records_.find(name);
    if (found == records_.end()) throw source_.damaged(fmt::format("record '{}' is missing", name));
    const Record& record = found->second;
    if (!record.stored) {
      throw FileError(source_.name, fmt::format("has the record '{}' compressed, which torch.save never does", name),
                      "unpack the archive, and pack it again without compression: zip -0 -r");
    }
    const auto header = source_.slice(record.header, local_header_size);
    if (!header.starts_with("PK\x03\x04")) throw source_.damaged(fmt::format("record '{}' has no header", name));
    const std::uint64_t names = little_endian<std::uint16_t>(header, 26),
                        extra = little_endian<std::uint16_t>(header, 28);
    return source_.slice(record.header + local_header_size + names + extra, record.size);
  }

 private:
  struct Record {
    std::uint64_t header, size;
    bool stored;
  };
  struct Directory {
    std::uint64_t begin, records;
  };

  static constexpr std::size_t end_size = 22, locator_size = 20, end64_size = 56, entry_size = 46,
                               local_header_size = 30;

  [[nodiscard]] Directory find_directory() const {
    const std::size_t end = find_end();
    const auto fields = source_.slice(end, end_size);
    if (end >= locator_size && source_.bytes.substr(end - locator_size).starts_with("PK\x06\x07")) {
      const auto end64 = source_.slice(little_endian<std::uint64_t>(source_.bytes, end - locator_size + 8), end64_size);
      if (!end64.starts_with("PK\x06\x06")) throw source_.damaged("its zip64 directory is missing");
      return {little_endian<std::uint64_t>(end64, 48), little_endian<std::uint64_t>(end64, 32)};
    }
    return {little_endian<std::uint32_t>(fields, 16), little_endian<std::uint16_t>(fields, 10)};
  }

  /// The end record is the last thing in the file but for a comment.
  [[nodiscard]] std::size_t find_end() const {
    constexpr std::size_t longest_comment = 0xffff;
    const std::string_view bytes = source_.bytes;
    const std::size_t at =
        bytes.size() < end_size ? std::string_view::npos : bytes.rfind("PK\x05\x06", bytes.size() - end_size);
    if (at == std::string_view::npos || at + end_size + longest_comment < bytes.size()) {
      throw source_.damaged("its zip directory is missing: it is probably cut short");
    }
    return at;
  }

  /// Adds the record whose entry in the directory is at `place`; returns the next entry's place.
  std::uint64_t add_record(std::uint64_t place) {
    const auto entry = source_.slice(place, entry_size);
    if (!entry.starts_with("PK\x01\x02")) throw source_.damaged("its zip directory is malformed");
    const std::size_t name_size = little_endian<std::uint16_t>(entry, 28),
                      extra_size = little_endian<std::uint16_t>(entry, 30),
                      comment_size = little_endian<std::uint16_t>(entry, 32);
    const auto rest = source_.slice(place + entry_size, name_size + extra_size + comment_size);

    const bool encrypted = (little_endian<std::uint16_t>(entry, 8) & 1) != 0;
    const bool stored = little_endian<std::uint16_t>(entry, 10) == 0 && !encrypted;
    Record record{little_endian<std::uint32_t>(entry, 42), little_endian<std::uint32_t>(entry, 24), stored};
    const bool packed_size_is_long = little_endian<std::uint32_t>(entry, 20) == in_zip64;
    widen(record, packed_size_is_long, rest.substr(name_size, extra_size));
    const auto name = rest.substr(0, name_size);
    if (!records_.emplace(name.substr(name.find('/') + 1), record).second) {
      throw source_.damaged(fmt::format("record '{}' is there twice", name));
    }
    return place + entry_size + rest.size();
  }

  static constexpr std::uint32_t in_zip64 = 0xffffffff;

  /// Fields too long for 32 bits are in the extra field of type 1: size, packed size and place, those that are needed.
  void widen(Record& record, bool packed_size_is_long, std::string_view extra) const {
    while (extra.size() >= 4) {
      const std::size_t type = little_endian<std::uint16_t>(extra), size = little_endian<std::uint16_t>(extra, 2);
      std::string_view fields = extra.substr(4, size);
      extra.remove_prefix(std::min(extra.size(), 4 + size));
      if (type != 1) continue;
      const auto next = [&] {
        if (fields.size() < sizeof(std::uint64_t)) throw source_.damaged("its zip directory is malformed");
        const auto number = little_endian<std::uint64_t>(fields);
        fields.remove_prefix(sizeof number);
        return number;
      };
      if (record.size == in_zip64) record.size = next();
      if (packed_size_is_long) (void)next();
      if (record.header == in_zip64) record.header = next();
    }
  }

  const Source& source_;
  std::unordered_map<std::string_view, Record> records_;
};

}  // namespace thaw::detail
