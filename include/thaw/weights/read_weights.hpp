#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <thaw/weights/detail/format.hpp>
#include <thaw/weights/detail/legacy.hpp>
#include <thaw/weights/detail/source.hpp>
#include <thaw/weights/detail/zip_file.hpp>
#include <thaw/weights/safetensors.hpp>
#include <thaw/weights/state_dict.hpp>
#include <utility>

namespace thaw {

struct ReadOptions {
  /// Which dict of a file with several: the keys to it, as "model" or "checkpoint.ema"; "." is the top level. Empty:
  /// the only one there is, or the only one under "state_dict", "model", "model_state_dict" or "net".
  std::string key = {};
};

namespace detail {

/// DataParallel and DistributedDataParallel put "module." before every name.
[[nodiscard]] inline StateDict without_module_prefix(StateDict state) {
  constexpr std::string_view prefix = "module.";
  const auto prefixed = [&](const auto& entry) { return entry.first.starts_with(prefix); };
  if (!std::ranges::all_of(state, prefixed)) return state;
  StateDict stripped;
  for (const auto& [name, tensor] : state) stripped.insert(name.substr(prefix.size()), tensor);
  return stripped;
}

[[nodiscard]] inline StateDict read_weights(const Source& source, const ReadOptions& options = {}) {
  try {
    switch (format_of(source)) {
      case Format::zip:
        return without_module_prefix(read_zip(source, options.key));
      case Format::legacy:
        return without_module_prefix(read_legacy(source, options.key));
      case Format::safetensors:
        return without_module_prefix(read_safetensors(source));
    }
  } catch (const c10::Error& error) {
    throw source.damaged(first_line(error));
  }
  throw not_weights(source);
}

}  // namespace detail

/// Reads the tensors of a PyTorch file (`torch.save`, today's zip format or the one before 1.6) or a safetensors file;
/// which of them it is, its content tells, not its name.
///
/// Nothing in the file is executed: of a pickle's objects only tensors are understood, any other is an error that
/// names it. Entries beside the tensors (an epoch, an optimizer) are left out, and so is a "module." that begins every
/// name. The tensors are on the CPU, without gradient; those that shared their storage still do.
///
/// Throws FileError for a file that is missing, damaged, unsafe, of another kind, or of several dicts of tensors.
/// Example: `auto state = thaw::read_weights("checkpoint.pth", {.key = "ema"});`
[[nodiscard]] inline StateDict read_weights(const std::filesystem::path& path, const ReadOptions& options = {}) {
  const detail::MappedFile file(path);
  return detail::read_weights(file.source(), options);
}

}  // namespace thaw
