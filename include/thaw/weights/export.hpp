// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/ops/arange.h>
#include <ATen/ops/isfinite.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <thaw/core/error.hpp>
#include <thaw/core/module_ptr.hpp>
#include <thaw/core/names.hpp>
#include <thaw/core/random_state.hpp>
#include <thaw/core/training_flags.hpp>
#include <thaw/weights/detail/format.hpp>
#include <thaw/weights/detail/safetensors_header.hpp>
#include <thaw/weights/detail/source.hpp>
#include <thaw/weights/detail/zip_archive.hpp>
#include <thaw/weights/safetensors.hpp>
#include <thaw/weights/save.hpp>
#include <vector>

namespace thaw {

/// What whoever runs an exported network must know beside its weights.
struct ExportInfo {
  std::string model = {};                 ///< which network to build, as "resnet18": see models::make
  std::vector<std::string> classes = {};  ///< their names, in the order of the logits
  std::vector<double> mean = {};          ///< of each channel: a network's input is (pixel / 255 - mean) / std
  std::vector<double> std = {};           ///< as many, above 0
  std::int64_t image_size = 0;            ///< pixels
  std::map<std::string, std::string> options = {};  ///< anything else, as {"fit", "squish"}
  /// Written by export_model: what the network gives for probe_input(), so that a reader can tell whether it has built
  /// the same network. Empty where it cannot be run on one image.
  std::vector<double> probe = {};
};

namespace detail {

inline constexpr const char* export_key = "thaw";
inline constexpr const char* export_record = "extra/thaw.json";  // of a TorchScript archive

inline void check(const std::string& where, const ExportInfo& info) {
  const auto require = [&](bool holds, const std::string& problem, const char* fix) {
    if (!holds) throw ConfigError(where, problem, fix);
  };
  require(!info.model.empty(), "the export's model has no name", "set .model, by which its reader builds the network");
  require(!info.classes.empty(), "the export has no classes", "set .classes, in the order of the logits");
  const std::set<std::string> distinct(info.classes.begin(), info.classes.end());
  require(distinct.size() == info.classes.size() && !distinct.contains(""),
          "the export has a class twice, or without a name: " + join_names(info.classes), "name each class once");
  require(info.image_size > 0 && info.image_size <= 8192, fmt::format("the export's image_size is {}", info.image_size),
          "set .image_size, in pixels, to 8192 at most");
  require(!info.mean.empty() && info.mean.size() == info.std.size(),
          fmt::format("the export has {} means and {} deviations", info.mean.size(), info.std.size()),
          "set .mean and .std, one of each for a channel");
  const auto finite = [](double each) { return std::isfinite(each); };  // JSON has no others
  require(std::ranges::all_of(info.mean, finite) && std::ranges::all_of(info.std, finite),
          "a .mean or .std is not finite", "give numbers in units of pixel / 255");
  require(std::ranges::all_of(info.std, [](double each) { return each > 0; }), "a .std is not above 0",
          "give what pixels were divided by, in units of pixel / 255");
}

/// As JSON. Throws ConfigError for a text that is no UTF-8.
[[nodiscard]] inline std::string export_text(const ExportInfo& info, const std::string& where) {
  nlohmann::ordered_json json = {{"model", info.model}, {"classes", info.classes},       {"mean", info.mean},
                                 {"std", info.std},     {"image_size", info.image_size}, {"options", info.options}};
  if (!info.probe.empty()) json["probe"] = info.probe;
  try {
    return json.dump();
  } catch (const nlohmann::json::exception&) {
    throw ConfigError(where, "a text of the export is no UTF-8", "write its names in UTF-8");
  }
}

/// What export_text wrote. Throws FileError for anything else.
[[nodiscard]] inline ExportInfo export_info(const std::string& text, const std::string& where) {
  ExportInfo info;
  try {
    const auto json = nlohmann::json::parse(text);
    json.at("model").get_to(info.model);
    json.at("classes").get_to(info.classes);
    json.at("mean").get_to(info.mean);
    json.at("std").get_to(info.std);
    json.at("image_size").get_to(info.image_size);
    json.at("options").get_to(info.options);
    if (json.contains("probe")) json.at("probe").get_to(info.probe);
    check(where, info);
  } catch (const nlohmann::json::exception& error) {
    throw FileError(where, fmt::format("describes its network wrongly: {}", error.what()), "export it again");
  } catch (const ConfigError& error) {
    throw FileError(where, "describes its network wrongly: " + error.problem(), "export it again");
  }
  return info;
}

}  // namespace detail

/// What ExportInfo::probe is of: normalised pixels of one image [1, C, H, W], the same everywhere, a chirp.
[[nodiscard]] inline at::Tensor probe_input(const ExportInfo& info) {
  const std::int64_t channels = std::ssize(info.mean), side = info.image_size;
  const at::Tensor i = at::arange(channels * side * side, at::kDouble);
  return (i * i * 1e-3 + i * 0.1).sin().to(at::kFloat).view({1, channels, side, side});
}

namespace detail {

/// What a network gives for probe_input() in evaluation mode, one number for each class; empty where it does not.
template <class Model>
[[nodiscard]] std::vector<double> probe(Model model, const ExportInfo& info) {
  if constexpr (requires(const at::Tensor& x) { at::Tensor(model->forward(x)); }) {
    const auto module = module_ptr(model);
    const TrainingFlags modes(*module);
    const RandomState random;
    const c10::NoGradGuard no_grad;
    module->eval();
    try {
      const auto parameters = module->parameters();
      const auto like = parameters.empty() ? at::TensorOptions(at::kFloat) : parameters[0].options();
      const at::Tensor out =
          at::Tensor(model->forward(probe_input(info).to(like))).to(at::kCPU, at::kDouble).contiguous();
      if (out.dim() == 2 && out.numel() == std::ssize(info.classes) && at::isfinite(out).all().item().toBool())
        return {out.const_data_ptr<double>(), out.const_data_ptr<double>() + out.numel()};
    } catch (const c10::Error&) {  // NOLINT(bugprone-empty-catch): its input is no image of this shape
    } catch (const Error&) {       // NOLINT(bugprone-empty-catch)
    }
  }
  return {};
}

/// Throws FileError unless `now` is what the export says of the network's outputs.
inline void check_probe(const ExportInfo& info, const std::vector<double>& now, const std::string& where) {
  const std::vector<double>& then = info.probe;
  if (then.empty()) return;
  double off = now.size() == then.size() ? 0 : std::numeric_limits<double>::infinity(), most = 0;
  for (std::size_t i = 0; i < std::min(now.size(), then.size()); ++i) {
    off = std::max(off, std::abs(now[i] - then[i]));
    most = std::max(most, std::abs(then[i]));
  }
  if (off <= 0.01 * most) return;
  throw FileError(where,
                  fmt::format("its tensors fit \"{}\", which gives other outputs with them than when it was exported: "
                              "up to {:.3g} off, and the largest is {:.3g}",
                              info.model, off, most),
                  "build the network as it was trained, with options such as bn_eps; or export it as TorchScript, "
                  "which has its layers");
}

}  // namespace detail

/// Whether this is the network that was exported, told by what it gives for probe_input(): where weights fit, an
/// epsilon, an activation or a padding may still be another. Throws FileError where an output is off by more than a
/// hundredth of the largest, which no other processor or kernel makes of it. Says nothing of an export without `probe`.
template <class Model>
void check_export(const Model& model, const ExportInfo& info, const std::filesystem::path& path) {
  detail::check_probe(info, detail::probe(model, info), path.string());
}

/// Writes a network for inference: one safetensors file of its state dict whose metadata hold under "thaw", as JSON,
/// what `info` says, and what the network gives for probe_input(). Python reads it with safetensors and json alone.
/// vision/classifier.hpp reads it without code of the network's own, where `model` is a name that models::make knows.
/// The model is left as it was. Throws ConfigError for info that no reader could
/// work with, and as save_weights does.
/// Example: `thaw::export_model(model, "net.safetensors", {.model = "resnet18", .classes = {"cat", "dog"},
///           .mean = {0.485, 0.456, 0.406}, .std = {0.229, 0.224, 0.225}, .image_size = 224});`
template <class Model>
void export_model(const Model& model, const std::filesystem::path& path, const ExportInfo& info) {
  detail::check(path.string(), info);
  ExportInfo whole = info;
  whole.probe = detail::probe(model, info);
  save_weights(model, path, {.metadata = {{detail::export_key, detail::export_text(whole, path.string())}}});
}

/// What export_model, or export_script, wrote beside the tensors, which load_weights reads. Throws FileError for any
/// other file; where `classes` are given, those of data that the network is to be trained or measured on, also for an
/// export of others, or in another order. Example: `auto net = thaw::models::resnet18({.classes =
/// std::ssize(thaw::read_export("net.safetensors").classes)});`
[[nodiscard]] inline ExportInfo read_export(const std::filesystem::path& path,
                                            const std::vector<std::string>& classes = {}) {
  const detail::Source source = detail::map_file(path);
  std::string text;
  if (detail::format_of(source) == detail::Format::zip) {
    const detail::ZipArchive archive(source);
    if (archive.has(detail::export_record)) text = archive.read(detail::export_record);
  } else {
    const auto metadata = detail::parse_metadata(source, detail::split_safetensors(source).header);
    if (const auto found = metadata.find(detail::export_key); found != metadata.end()) text = found->second;
  }
  if (text.empty())
    throw FileError(path.string(), "holds weights alone: no classes, no preprocessing",
                    "write it with thaw::export_model, or load it with thaw::load_weights");
  ExportInfo info = detail::export_info(text, path.string());
  if (!classes.empty() && classes != info.classes)
    throw FileError(
        path.string(),
        fmt::format("its classes are {}, and those of the data {}", join_names(info.classes), join_names(classes)),
        "read the data by the export's list, as image_folder(\"valid\", info.classes)");
  return info;
}

/// Whether a file is a TorchScript archive, as export_script writes it: told by its content. Throws FileError for one
/// that holds no weights.
[[nodiscard]] inline bool is_script(const std::filesystem::path& path) {
  const detail::Source source = detail::map_file(path);
  return detail::format_of(source) == detail::Format::zip && detail::ZipArchive(source).has("constants.pkl");
}

}  // namespace thaw
