// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>
#include <thaw/data/class_names.hpp>
#include <thaw/data/files_below.hpp>
#include <thaw/vision/box.hpp>

namespace thaw::vision {

/// An image and what is known about it; what a data set does not have stays empty.
struct ImageItem {
  std::filesystem::path path = {};
  std::vector<std::int64_t> labels = {};                  ///< classes: one, or any number where several may be true
  std::filesystem::path mask = {};                        ///< the file that says of each pixel which class it is
  std::vector<std::pair<double, double>> keypoints = {};  ///< x, y in pixels of the file
  std::vector<float> values = {};                         ///< numbers to predict
  std::vector<Box> boxes = {};                            ///< in pixels of the file, with their classes; any number
};

/// Images and the names of their classes.
struct ImageList {
  std::vector<std::string> classes = {};
  std::vector<ImageItem> items = {};

  [[nodiscard]] std::int64_t size() const { return std::ssize(items); }
  /// Images of each class.
  [[nodiscard]] std::vector<std::int64_t> counts() const {
    std::vector<std::int64_t> result(classes.size());
    for (const ImageItem& item : items)
      for (const std::int64_t label : item.labels) ++result.at(static_cast<std::size_t>(label));
    return result;
  }
};

namespace detail {

/// What calls itself an image, also where this OpenCV cannot read it: such a file is an error, and no class vanishes.
inline bool has_image_extension(const std::filesystem::path& path) {
  static const std::set<std::string> known{
      ".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif", ".pjpeg", ".pjp", ".png",  ".apng", ".bmp",
      ".dib", ".webp", ".tif", ".tiff", ".jp2", ".j2k", ".pgm",   ".ppm", ".pbm",  ".pnm",  ".pam",
      ".pfm", ".pxm",  ".ras", ".sr",   ".pic", ".exr", ".hdr",   ".gif", ".avif", ".heic", ".heif"};
  return known.contains(lower_case(path.extension().string()));
}

}  // namespace detail

/// The image files in a folder and in those within it, in the order of their names; by their extension, hidden ones
/// left out. Links are followed; into `passed_over` come those that lead nowhere, or back up. Throws FileError for a
/// folder that cannot be read, DataError for one without images.
[[nodiscard]] inline std::vector<std::filesystem::path> image_files(const std::filesystem::path& folder,
                                                                    std::vector<std::string>* passed_over = nullptr) {
  FilesBelow found = files_below(folder, detail::has_image_extension, "name a folder of images");
  if (passed_over != nullptr) *passed_over = std::move(found.passed_over);
  if (found.files.empty()) throw DataError(folder.string(), "there is no image in it", "name a folder of images");
  return std::move(found.files);
}

/// Images of one class each: that which `label_of(path)` names. Classes are numbered in the order of their names, or as
/// `classes` lists them, which may have more. Throws DataError for a name that is not in `classes`, and as
/// ClassNumbers.
/// Example: `labelled(image_files("pets"), [](const auto& path) { return path.stem().string().substr(0, 3); });`
[[nodiscard]] inline ImageList labelled(const std::vector<std::filesystem::path>& files,
                                        const std::function<std::string(const std::filesystem::path&)>& label_of,
                                        std::vector<std::string> classes = {}, const std::string& where = "classes") {
  std::vector<std::string> labels;
  labels.reserve(files.size());
  for (const auto& file : files) labels.push_back(label_of(file));
  const ClassNumbers numbers(std::move(classes), {labels.begin(), labels.end()}, where);
  ImageList list{.classes = numbers.classes()};
  for (std::size_t i = 0; i < files.size(); ++i) {
    list.items.push_back({.path = files[i], .labels = {numbers.of(labels[i], files[i].string(), "its class")}});
  }
  return list;
}

/// The images of a folder with one folder per class, which may hold folders itself. Give `classes` to have a test set
/// numbered as its training set. Throws FileError for a folder that cannot be read; DataError where there is no image,
/// for an image beside the classes' folders, and for a class that is not in `classes`; without `classes` also for a
/// class's folder without images, for two names that are spellings of one (see ClassNumbers), and for train/ and val/,
/// which are no classes (see image_data).
/// Example: `auto images = image_folder("flowers/train"); auto test = image_folder("flowers/test", images.classes);`
[[nodiscard]] inline ImageList image_folder(const std::filesystem::path& folder, std::vector<std::string> classes = {},
                                            std::vector<std::string>* passed_over = nullptr) {
  const std::vector<std::filesystem::path> files = image_files(folder, passed_over);
  for (const auto& path : files)
    if (!path.lexically_relative(folder).has_parent_path())
      throw DataError(path.string(), "is in no class's folder", "move it into that of its class");
  if (classes.empty())
    check_class_folders(folder, files, "an image that can be read",
                        "take image_data, which reads such parts, or name one of them");
  return labelled(
      files, [&](const std::filesystem::path& path) { return path.lexically_relative(folder).begin()->string(); },
      std::move(classes), folder.string());
}

/// The same images, each with the mask that `mask_of(path)` names. `classes` are those of the pixels. Throws DataError
/// for a mask that does not exist, naming both files.
/// Example: `with_masks(image_files("images"), {"back", "cell"}, [](auto path) { return "masks" / path.filename(); });`
[[nodiscard]] inline ImageList with_masks(
    const std::vector<std::filesystem::path>& files, std::vector<std::string> classes,
    const std::function<std::filesystem::path(const std::filesystem::path&)>& mask_of) {
  ImageList list{.classes = std::move(classes)};
  for (const auto& file : files) {
    list.items.push_back({.path = file, .mask = mask_of(file)});
    if (!std::filesystem::exists(list.items.back().mask))
      throw DataError(file.string(), "its mask " + list.items.back().mask.string() + " does not exist",
                      "let mask_of name an existing file, or leave the image out");
  }
  return list;
}

}  // namespace thaw::vision
