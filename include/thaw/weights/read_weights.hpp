// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <thaw/core/error.hpp>
#include <thaw/core/first_line.hpp>
#include <thaw/core/out_of_memory.hpp>
#include <thaw/weights/detail/format.hpp>
#include <thaw/weights/detail/legacy.hpp>
#include <thaw/weights/detail/shard_index.hpp>
#include <thaw/weights/detail/source.hpp>
#include <thaw/weights/detail/zip_file.hpp>
#include <thaw/weights/passed_over.hpp>
#include <thaw/weights/safetensors.hpp>
#include <thaw/weights/state_dict.hpp>

namespace thaw {

struct ReadOptions {
  /// Which dict of a file with several: the keys to it, as "model" or "checkpoint.ema"; "." is the top level, "0" the
  /// first of a list. Empty: the only one there is, or the only one under "state_dict", "model", "model_state_dict" or
  /// "net".
  std::string key = {};
  /// Leave the tensors' bytes in the mapped file, copy on write (writing to a tensor leaves the file as it is): the
  /// file may then be replaced by another or removed while they live, but not be cut short or overwritten in place.
  /// False: copy them out. The storages of the format before 1.6 are mostly copied anyway, for want of alignment.
  bool map = true;
};

namespace detail {

[[nodiscard]] inline Source open_file(const std::filesystem::path& path, const ReadOptions& options) {
  Source source = map_file(path);
  source.lends = options.map;
  return source;
}

/// DataParallel and DistributedDataParallel put "module." before every name. So does AveragedModel, which has its count
/// beside them.
[[nodiscard]] inline StateDict without_module_prefix(const StateDict& state) {
  constexpr std::string_view prefix = "module.", count = "n_averaged";
  const auto prefixed = [&](const auto& entry) { return entry.first.starts_with(prefix) || entry.first == count; };
  if (!std::ranges::all_of(state, prefixed) || !std::ranges::all_of(state.unreadable(), prefixed)) return state;
  if (state.size() == 1 && state.contains(std::string(count))) return state;
  StateDict stripped = with_names(state, [&](const std::string& name) {
    return name == count ? std::nullopt : std::optional(name.substr(prefix.size()));
  });
  if (state.contains(std::string(count))) {
    PassedOver counter;
    counter.add({std::string(count), "the count of a torch.optim.swa_utils.AveragedModel"});
    stripped.pass_over(counter);
  }
  return stripped;
}

/// The tensors of one file, as they are named there.
[[nodiscard]] inline StateDict read_file(const Source& source, const std::string& key) {
  try {
    switch (format_of(source)) {
      case Format::zip:
        return read_zip(source, key);
      case Format::legacy:
        return read_legacy(source, key);
      case Format::safetensors:
        break;
    }
    if (!key.empty() && key != ".")
      throw FileError(source.name, fmt::format("is a safetensors file, which has nothing under the key '{}'", key),
                      "leave the key empty, and take part of the names by .prefix");
    return read_safetensors(source);
  } catch (const c10::Error& error) {
    if (is_out_of_memory(error))
      throw MemoryError(source.name, "does not fit into memory: " + first_line(error),
                        "leave ReadOptions::map on, which needs no second copy of it");
    throw source.damaged(first_line(error));
  }
}

[[nodiscard]] inline StateDict read_weights(const Source& source, const ReadOptions& options = {}) {
  return without_module_prefix(read_file(source, options.key));
}

/// All shards of an index. They are mapped, as any file, so that only those tensors are read that are used.
[[nodiscard]] inline StateDict read_sharded(const Source& index, const ReadOptions& options) {
  StateDict state;
  for (const auto& [file, names] : parse_index(index)) {
    const Source shard = open_file(std::filesystem::path(index.name).parent_path() / file, options);
    const StateDict part = read_file(shard, options.key);
    for (const std::string& name : names) {
      if (!part.contains(name) && !part.unreadable().contains(name))
        throw shard.damaged(fmt::format("it lacks '{}', which {} names", name, index.name));
    }
    for (const auto& [name, tensor] : part) {
      if (state.contains(name)) throw shard.damaged(fmt::format("'{}' is in another shard too", name));
      state.insert(name, tensor);
    }
    for (const auto& [name, what] : part.unreadable()) state.leave_out(name, what);
    state.pass_over(part.passed_over());
  }
  return without_module_prefix(state);
}

}  // namespace detail

/// Reads the tensors of a PyTorch file (`torch.save`, today's zip format or the one before 1.6), a TorchScript archive
/// (`torch.jit.save`, and LibTorch's `torch::save`), a safetensors file, or of all files that an index
/// ("model.safetensors.index.json") names beside itself; which of them it is, its content tells, not its name.
///
/// Nothing in the file is executed: of a pickle's objects only tensors are understood, and any other is passed over
/// without being made; StateDict::passed_over names it. Entries beside the tensors (an epoch, an optimizer) are left
/// out, and so is a "module." that begins every name, with the `n_averaged` of an AveragedModel. The tensors are on the
/// CPU, without gradient; those that shared their storage still do. They lie in the mapped file, from which only what
/// is used is read: see ReadOptions::map.
///
/// Throws FileError for a file that is missing, damaged, made to attack Python, of another kind, of several dicts of
/// tensors, or of whole modules in place of their tensors.
/// Example: `auto state = thaw::read_weights("checkpoint.pth", {.key = "ema"});`
[[nodiscard]] inline StateDict read_weights(const std::filesystem::path& path, const ReadOptions& options = {}) {
  const detail::Source source = detail::open_file(path, options);
  return detail::looks_like_index(source.bytes) ? detail::read_sharded(source, options)
                                                : detail::read_weights(source, options);
}

}  // namespace thaw
