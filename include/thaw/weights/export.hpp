// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>
#include <thaw/weights/safetensors.hpp>
#include <thaw/weights/save.hpp>
#include <vector>

namespace thaw {

/// What whoever runs an exported network must know beside its weights.
struct ExportInfo {
  std::string model = {};                 ///< which network to build, as "resnet18": the reader's code knows how
  std::vector<std::string> classes = {};  ///< their names, in the order of the logits
  std::vector<double> mean = {};          ///< of each channel: a network's input is (pixel / 255 - mean) / std
  std::vector<double> std = {};           ///< as many, above 0
  std::int64_t image_size = 0;            ///< pixels
  std::map<std::string, std::string> options = {};  ///< anything else, as {"head", "concat_pool"}
};

namespace detail {

inline constexpr const char* export_key = "thaw";

inline void check(const std::string& where, const ExportInfo& info) {
  const auto require = [&](bool holds, const std::string& problem, const char* fix) {
    if (!holds) throw ConfigError(where, problem, fix);
  };
  require(!info.model.empty(), "the export's model has no name", "set .model, by which its reader builds the network");
  require(!info.classes.empty(), "the export has no classes", "set .classes, in the order of the logits");
  const std::set<std::string> distinct(info.classes.begin(), info.classes.end());
  require(distinct.size() == info.classes.size() && !distinct.contains(""),
          "the export has a class twice, or without a name: " + join_names(info.classes), "name each class once");
  require(info.image_size > 0, fmt::format("the export's image_size is {}", info.image_size),
          "set .image_size, in pixels");
  require(!info.mean.empty() && info.mean.size() == info.std.size(),
          fmt::format("the export has {} means and {} deviations", info.mean.size(), info.std.size()),
          "set .mean and .std, one of each for a channel");
  const auto finite = [](double each) { return std::isfinite(each); };  // JSON has no others
  require(std::ranges::all_of(info.mean, finite) && std::ranges::all_of(info.std, finite),
          "a .mean or .std is not finite", "give numbers in units of pixel / 255");
  require(std::ranges::all_of(info.std, [](double each) { return each > 0; }), "a .std is not above 0",
          "give what pixels were divided by, in units of pixel / 255");
}

}  // namespace detail

/// Writes a network for inference: one safetensors file of its state dict whose metadata hold under "thaw", as JSON,
/// what `info` says. Python reads it with safetensors and json alone. Throws ConfigError for info that no reader could
/// work with, and as save_weights does.
/// Example: `thaw::export_model(model, "net.safetensors", {.model = "resnet18", .classes = {"cat", "dog"},
///           .mean = {0.485, 0.456, 0.406}, .std = {0.229, 0.224, 0.225}, .image_size = 224});`
template <class Model>
void export_model(const Model& model, const std::filesystem::path& path, const ExportInfo& info) {
  detail::check(path.string(), info);
  const nlohmann::ordered_json json = {
      {"model", info.model}, {"classes", info.classes},       {"mean", info.mean},
      {"std", info.std},     {"image_size", info.image_size}, {"options", info.options}};
  try {
    save_weights(model, path, {.metadata = {{detail::export_key, json.dump()}}});
  } catch (const nlohmann::json::exception&) {
    throw ConfigError(path.string(), "a text of the export is no UTF-8", "write its names in UTF-8");
  }
}

/// What export_model wrote beside the tensors, which load_weights reads. Throws FileError for any other file; where
/// `classes` are given, those of data that the network is to be trained or measured on, also for an export of others,
/// or in another order.
/// Example: `auto net = thaw::models::resnet18({.classes = std::ssize(thaw::read_export("net.safetensors").classes)});`
[[nodiscard]] inline ExportInfo read_export(const std::filesystem::path& path,
                                            const std::vector<std::string>& classes = {}) {
  const auto metadata = read_metadata(path);
  const auto found = metadata.find(detail::export_key);
  if (found == metadata.end()) {
    throw FileError(path.string(), "holds weights alone: no classes, no preprocessing",
                    "write it with thaw::export_model, or load it with thaw::load_weights");
  }
  ExportInfo info;
  try {
    const auto json = nlohmann::json::parse(found->second);
    json.at("model").get_to(info.model);
    json.at("classes").get_to(info.classes);
    json.at("mean").get_to(info.mean);
    json.at("std").get_to(info.std);
    json.at("image_size").get_to(info.image_size);
    json.at("options").get_to(info.options);
    detail::check(path.string(), info);
  } catch (const nlohmann::json::exception& error) {
    throw FileError(path.string(), fmt::format("describes its network wrongly: {}", error.what()), "export it again");
  } catch (const ConfigError& error) {
    throw FileError(path.string(), "describes its network wrongly: " + error.problem(), "export it again");
  }
  if (!classes.empty() && classes != info.classes)
    throw FileError(
        path.string(),
        fmt::format("its classes are {}, and those of the data {}", join_names(info.classes), join_names(classes)),
        "read the data by the export's list, as image_folder(\"valid\", info.classes)");
  return info;
}

}  // namespace thaw
