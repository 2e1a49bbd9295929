// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/nn/module.h>

#include <concepts>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <thaw/core/atomic_file.hpp>
#include <thaw/core/error.hpp>
#include <thaw/core/module_ptr.hpp>
#include <thaw/weights/detail/write_pth.hpp>
#include <thaw/weights/detail/write_safetensors.hpp>
#include <thaw/weights/module_state_dict.hpp>
#include <thaw/weights/state_dict.hpp>

namespace thaw {

struct SaveOptions {
  /// Texts to keep beside the tensors, as `{{"epoch", "12"}}`; read_metadata and Python's `safe_open(...).metadata()`
  /// give them back. For safetensors alone.
  std::map<std::string, std::string> metadata = {};
};

/// Writes tensors in the format that the name asks for:
///
///     .safetensors      safetensors; tensors that share memory are written one by one
///     .pth, .pt, .bin   what Python's `torch.save(model.state_dict(), path)` writes and `torch.load(path,
///                       weights_only=True)` opens; tensors that share memory still do, and strides are kept
///
/// Tensors of any device, view or stride, without their gradients. The file is written beside `path` and renamed when
/// it is whole and on the disk, so that the old one is never lost. Throws ConfigError for another extension, for
/// tensors that are not dense and for types that the format lacks (safetensors: complex128, two of four float8), and
/// FileError if the file cannot be written.
/// Example: `thaw::save_weights(model, "net.pth");`, in Python `net.load_state_dict(torch.load("net.pth"))`.
inline void save_weights(const StateDict& state, const std::filesystem::path& path, const SaveOptions& options = {}) {
  const std::string where = path.string(), extension = path.extension().string();
  const bool safetensors = extension == ".safetensors";
  if (!safetensors && extension != ".pth" && extension != ".pt" && extension != ".bin") {
    throw ConfigError(where, "the name does not say in which format to write", "end it in .safetensors or .pth");
  }
  if (!safetensors && !options.metadata.empty()) {
    throw ConfigError(where, ".metadata is set, yet such a file holds tensors alone", "write a .safetensors file");
  }
  detail::AtomicFile file(path);
  if (safetensors) {
    detail::write_safetensors(state, options.metadata, [&](std::string_view bytes) { file.write(bytes); }, where);
  } else {
    detail::write_pth(state, file, where);
  }
  file.commit();
}

/// The bytes of a safetensors file, one after the other, to anything that takes them. Tensors of wider elements come
/// first, else in the order of the state dict. Throws as above.
inline void write_safetensors(const StateDict& state, const std::function<void(std::string_view)>& write,
                              const SaveOptions& options = {}) {
  detail::write_safetensors(state, options.metadata, write, "write_safetensors");
}

/// The same for a module: its parameters and buffers, as state_dict names them.
inline void save_weights(const torch::nn::Module& module, const std::filesystem::path& path,
                         const SaveOptions& options = {}) {
  save_weights(state_dict(module), path, options);
}

/// The same for a module holder, as TORCH_MODULE makes them, and for a std::shared_ptr.
template <class Model>
  requires(!std::derived_from<Model, torch::nn::Module> && !std::same_as<Model, StateDict>)
void save_weights(const Model& model, const std::filesystem::path& path, const SaveOptions& options = {}) {
  if (!model) throw ConfigError("save_weights", "the model is null", "make the model first");
  save_weights(static_cast<const torch::nn::Module&>(*detail::module_ptr(model)), path, options);
}

}  // namespace thaw
