// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <algorithm>
#include <concepts>
#include <filesystem>
#include <memory>
#include <string>
#include <thaw/core/error.hpp>
#include <thaw/core/glob.hpp>
#include <thaw/weights/detail/load_error.hpp>
#include <thaw/weights/detail/match.hpp>
#include <thaw/weights/detail/prefix_hint.hpp>
#include <thaw/weights/detail/release_pages.hpp>
#include <thaw/weights/load_report.hpp>
#include <thaw/weights/module_state_dict.hpp>
#include <thaw/weights/read_weights.hpp>
#include <thaw/weights/rename.hpp>
#include <thaw/weights/state_dict.hpp>
#include <utility>
#include <vector>

namespace thaw {

/// How load_weights bridges a file and a model that are not quite alike. By default every tensor must be in both.
struct LoadOptions {
  /// As ReadOptions::key: which dict of a file with several. Without effect on a StateDict.
  std::string key = {};
  /// Take only the names of the file that begin so, without this beginning: "backbone.", "model." for a Learner's file
  /// and Lightning's. First of all. A "module." that begins every name is left out as the file is read.
  std::string prefix = {};
  /// Globs (`*`, `?`) of the tensors to leave out, after `rename`: neither taken from the file nor asked of the model.
  std::vector<std::string> drop = {};
  /// A glob of `drop` may match nothing: for a tensor that only some versions of a file have.
  bool drop_if_present = false;
  /// Applied to every name of the file, in this order: `{{"^encoder\\.", ""}, {"^bn(\\d)", "norm$1"}}`. Tables for
  /// networks that two publishers name differently are in weights/renames.hpp.
  std::vector<Rename> rename = {};
  /// Leave tensors that have another shape in the file, such as a head's for other classes, as they are; the report
  /// lists them. All others must fit.
  bool ignore_mismatched_sizes = false;
  /// Load what fits by name and shape; the rest is only reported.
  bool partial = false;
};

namespace detail {

inline void check_drop(const LoadOptions& options, const LoadReport& report, const std::string& where) {
  for (const std::string& glob : options.drop) {
    const auto matches = [&](const std::string& name) { return glob_match(glob, name); };
    if (std::ranges::none_of(report.dropped, matches)) {
      throw ConfigError(where,
                        fmt::format(".drop = \"{}\" names no tensor, neither of the file nor of the model", glob),
                        "mind the spelling, `*` stands for any text; or say .drop_if_present = true");
    }
  }
}

/// `once`: nobody else sees the state dict, which was read from a file that is mapped.
inline LoadReport load_weights(torch::nn::Module& module, const StateDict& state, const LoadOptions& options,
                               const std::string& where, bool once = false) {
  const StateDict model = state_dict(module);
  check_memory(model);
  const StateDict file = renamed(with_prefix(state, options.prefix, where), options.rename, where);
  Match found = match(model, file, options.drop);
  LoadReport& report = found.report;
  if (!options.drop_if_present) check_drop(options, report, where);

  const bool fits = all_expendable(report.missing) && report.unexpected.empty() &&
                    (report.mismatched.empty() || options.ignore_mismatched_sizes);
  if (report.loaded.empty() || !(fits || options.partial)) {
    throw misfit(where, found, model, file,
                 prefix_hint(model, state, options.prefix, options.rename, options.drop, report.loaded.size()));
  }
  refuse_values(found, model, file);
  if (!found.refused.empty()) throw misfit(where, found, model, file, {});

  const at::NoGradGuard no_grad;
  for (auto& [to, from] : found.copies) {
    to.copy_(from);
    if (once) release_pages(from);
  }
  return std::move(report);
}

}  // namespace detail

/// Copies the tensors of `state` into the module's parameters and buffers of the same names.
///
/// Converts to each one's dtype and device; leaves `requires_grad`, train mode and the tensors' identities as they are.
/// Of a tensor that the model has under several names (tied weights) one name is enough; the others must not differ.
/// Nothing is copied before everything has been checked. Throws FileError that lists all missing, unexpected and
/// mis-shaped tensors unless LoadOptions allow them (a missing `num_batches_tracked` always passes), and names the
/// `prefix` with which they would fit. No option but `drop` lets pass integers, bool or complex numbers for real ones,
/// numbers that become infinite (1e5 in half), and tied tensors that differ. Throws ConfigError for options that cannot
/// be meant. Returns what was loaded and what was not.
inline LoadReport load_weights(torch::nn::Module& module, const StateDict& state, const LoadOptions& options = {}) {
  return detail::load_weights(module, state, options, "the state dict");
}

/// The same from a file: see read_weights. A file of any size is copied once, from the page cache into the module.
/// Example: `thaw::load_weights(*model, "resnet18.pth", {.drop = {"fc.*"}});` leaves the head as it is.
inline LoadReport load_weights(torch::nn::Module& module, const std::filesystem::path& path,
                               const LoadOptions& options = {}) {
  return detail::load_weights(module, read_weights(path, {.key = options.key}), options, path.string(), /*once=*/true);
}

/// What weights may come from: a StateDict, or a path.
template <class Weights>
concept WeightSource = std::convertible_to<Weights, StateDict> || std::convertible_to<Weights, std::filesystem::path>;

/// The same for a module held by shared_ptr.
template <std::derived_from<torch::nn::Module> Module, WeightSource Weights>
LoadReport load_weights(const std::shared_ptr<Module>& module, const Weights& weights,
                        const LoadOptions& options = {}) {
  if (module == nullptr) throw ConfigError("load_weights", "the module is null", "make the model first");
  return load_weights(static_cast<torch::nn::Module&>(*module), weights, options);
}

/// The same for a module holder, as TORCH_MODULE makes them.
template <class Module, WeightSource Weights>
LoadReport load_weights(const torch::nn::ModuleHolder<Module>& module, const Weights& weights,
                        const LoadOptions& options = {}) {
  if (module.is_empty()) throw ConfigError("load_weights", "the module holder is empty", "make the model first");
  return load_weights(module.ptr(), weights, options);
}

}  // namespace thaw
