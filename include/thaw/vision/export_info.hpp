// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <opencv2/core.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/vision/image_source.hpp>
#include <thaw/vision/resize.hpp>
#include <thaw/weights/export.hpp>

namespace thaw::vision {

namespace detail {

inline const std::map<std::string, Fit>& fit_names() {
  static const std::map<std::string, Fit> names{{"crop", Fit::crop}, {"squish", Fit::squish}, {"pad", Fit::pad}};
  return names;
}

/// What transforms make of images of several shapes, by the numbers that they draw from a seed.
inline std::vector<cv::Mat> trial(const Transforms& transforms, int channels, std::uint64_t seed) {
  std::vector<cv::Mat> results;
  for (const cv::Size size : {cv::Size(97, 61), cv::Size(64, 128), cv::Size(400, 300)}) {
    Sample sample{.image = cv::Mat(size, CV_8UC(channels))};
    for (int y = 0; y < size.height; ++y)
      for (int x = 0; x < size.width * channels; ++x)
        sample.image.ptr<std::uint8_t>(y)[x] = static_cast<std::uint8_t>(31 * x + 17 * y + x * y % 7);
    Random random(seed++);
    transforms(sample, random);
    results.push_back(sample.image);
  }
  return results;
}

inline bool same(const std::vector<cv::Mat>& a, const std::vector<cv::Mat>& b) {
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i].size() != b[i].size() || a[i].type() != b[i].type() || cv::norm(a[i], b[i], cv::NORM_INF) != 0)
      return false;
  return true;
}

}  // namespace detail

/// What export_model and export_script write beside a network, of the source that it was validated on: its classes,
/// normalization, size of images and how they are brought to it. So a Classifier prepares images exactly as it did.
///
/// Throws ConfigError for a source of which the file cannot say that: of transforms other than one Resize to a square
/// (they are compared by what they make of images), of masks, keypoints or values.
/// Example: `thaw::export_model(model, "net.safetensors", thaw::vision::export_info("resnet34", valid));`
[[nodiscard]] inline ExportInfo export_info(const std::string& model, const ImageSource& valid) {
  const ImageSourceOptions& options = valid.options();
  if (options.predict != Predict::label && options.predict != Predict::labels)
    throw ConfigError("export_info", "the source predicts no classes of images", "export networks that classify");
  const int channels = static_cast<int>(options.channels);
  const std::vector<cv::Mat> made = detail::trial(options.transforms, channels, 0);
  const int side = made[0].rows;
  bool draws = false;
  for (std::uint64_t seed = 100; seed < 130 && !draws; ++seed)
    draws = !detail::same(detail::trial(options.transforms, channels, seed), made);
  for (const auto& [name, fit] : detail::fit_names()) {
    if (draws || !detail::same(detail::trial(Transforms{Resize{.size = side, .fit = fit}}, channels, 0), made))
      continue;
    ExportInfo info{.model = model,
                    .classes = valid.images().classes,
                    .mean = options.normalization.mean,
                    .std = options.normalization.std,
                    .image_size = side};
    if (fit != Fit::crop) info.options["fit"] = name;
    if (options.predict == Predict::labels) info.options["predict"] = "labels";
    if (!options.scaled_decoding) info.options["scaled_decoding"] = "off";
    if (options.orientation == Orientation::stored) info.options["orientation"] = "stored";
    return info;
  }
  throw ConfigError("export_info", "the source's transforms are not one Resize to a square",
                    "give the source of validation, without augmentation, as .transforms = {Resize{224}}; of others, "
                    "write an ExportInfo yourself, and prepare images by your own code");
}

/// The options of a source that prepares images as an export says, and as yet has none. Of ExportInfo::options it knows
/// those that export_info writes: "fit" (crop, squish, pad), "predict" (label, labels), "scaled_decoding" (on, off) and
/// "orientation" (upright, stored). Throws ConfigError for another value of them, and for other than 1, 3 or 4
/// channels.
[[nodiscard]] inline ImageSourceOptions prepared_as(const ExportInfo& info) {
  const auto is = [&](const char* name, const std::string& usual, const std::string& other) {
    const auto found = info.options.find(name);
    if (found == info.options.end() || found->second == usual) return false;
    if (found->second == other) return true;
    throw ConfigError("prepared_as", std::string("the export's option \"") + name + "\" is \"" + found->second + "\"",
                      "export it with " + usual + " or " + other);
  };
  const auto asked = info.options.find("fit");
  const auto fit = detail::fit_names().find(asked == info.options.end() ? "crop" : asked->second);
  if (fit == detail::fit_names().end())
    throw ConfigError("prepared_as", "the export's option \"fit\" is \"" + asked->second + "\"",
                      "export it with crop, squish or pad");
  if (info.mean.size() != 1 && info.mean.size() != 3 && info.mean.size() != 4)
    throw ConfigError("prepared_as", "images of " + std::to_string(info.mean.size()) + " channels",
                      "export networks for one, three or four, or prepare images by your own code");
  ImageSourceOptions options{.images = {.classes = info.classes},
                             .transforms = {Resize{.size = static_cast<int>(info.image_size), .fit = fit->second}},
                             .normalization = {info.mean, info.std},
                             .channels = static_cast<Channels>(info.mean.size()),
                             .predict = is("predict", "label", "labels") ? Predict::labels : Predict::label,
                             .scaled_decoding = !is("scaled_decoding", "on", "off")};
  if (is("orientation", "upright", "stored")) options.orientation = Orientation::stored;
  return options;
}

}  // namespace thaw::vision
