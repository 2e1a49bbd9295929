#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>

namespace thaw::vision {

/// An image and what is known about it; what a data set does not have stays empty.
struct ImageItem {
  std::filesystem::path path = {};
  std::vector<std::int64_t> labels = {};                  ///< classes: one, or any number where several may be true
  std::filesystem::path mask = {};                        ///< the file that says of each pixel which class it is
  std::vector<std::pair<double, double>> keypoints = {};  ///< x, y in pixels of the file
  std::vector<float> values = {};                         ///< numbers to predict
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

inline bool has_image_extension(const std::filesystem::path& path) {
  static const std::set<std::string> known{".jpg",  ".jpeg", ".jpe", ".png", ".bmp", ".dib", ".webp", ".tif",
                                           ".tiff", ".jp2",  ".pgm", ".ppm", ".pbm", ".pnm", ".exr",  ".hdr"};
  std::string extension = path.extension().string();
  std::ranges::transform(extension, extension.begin(), [](unsigned char c) { return std::tolower(c); });
  return known.contains(extension);
}

/// What systems leave beside the files: .DS_Store, and macOS's folder in an archive.
inline bool hidden(const std::filesystem::path& path) {
  return path.filename().string().starts_with(".") || path.filename() == "__MACOSX";
}

}  // namespace detail

/// The image files in a folder and in those within it, in the order of their names; by their extension, hidden ones
/// left out. Throws FileError for a folder that cannot be read, DataError for one without images.
[[nodiscard]] inline std::vector<std::filesystem::path> image_files(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  try {
    using Iterator = std::filesystem::recursive_directory_iterator;
    for (Iterator at(folder, std::filesystem::directory_options::follow_directory_symlink); at != Iterator(); ++at) {
      if (detail::hidden(at->path())) {
        if (at->is_directory()) at.disable_recursion_pending();
      } else if (at->is_regular_file() && detail::has_image_extension(at->path())) {
        files.push_back(at->path());
      }
    }
  } catch (const std::filesystem::filesystem_error& error) {
    throw FileError(folder.string(), "cannot be read: " + error.code().message(), "name a folder of images");
  }
  if (files.empty()) throw DataError(folder.string(), "there is no image in it", "name a folder of images");
  std::ranges::sort(files);
  return files;
}

/// Images of one class each: that which `label_of(path)` names. Classes are numbered in the order of their names, or as
/// `classes` lists them, which may have more. Throws DataError for a name that is not in `classes`.
/// Example: `labelled(image_files("pets"), [](const auto& path) { return path.stem().string().substr(0, 3); });`
[[nodiscard]] inline ImageList labelled(const std::vector<std::filesystem::path>& files,
                                        const std::function<std::string(const std::filesystem::path&)>& label_of,
                                        std::vector<std::string> classes = {}) {
  std::vector<std::string> labels;
  labels.reserve(files.size());
  for (const auto& file : files) labels.push_back(label_of(file));
  if (classes.empty()) {
    const std::set<std::string> sorted(labels.begin(), labels.end());
    classes.assign(sorted.begin(), sorted.end());
  }
  std::map<std::string, std::int64_t> number_of;
  for (std::size_t i = 0; i < classes.size(); ++i) number_of.emplace(classes[i], i);
  ImageList list{.classes = std::move(classes)};
  for (std::size_t i = 0; i < files.size(); ++i) {
    const auto found = number_of.find(labels[i]);
    if (found == number_of.end()) {
      const std::string nearest = nearest_name(labels[i], list.classes);
      throw DataError(files[i].string(), "its class \"" + labels[i] + "\" is none of " + join_names(list.classes),
                      nearest.empty() ? "name its class" : "did you mean \"" + nearest + "\"?");
    }
    list.items.push_back({.path = files[i], .labels = {found->second}});
  }
  return list;
}

/// The images of a folder with one folder per class, which may hold folders itself. Give `classes` to have a test set
/// numbered as its training set. Throws FileError for a folder that cannot be read; DataError where there is no image,
/// for an image beside the classes' folders, and for a class that is not in `classes`.
/// Example: `auto images = image_folder("flowers/train"); auto test = image_folder("flowers/test", images.classes);`
[[nodiscard]] inline ImageList image_folder(const std::filesystem::path& folder,
                                            std::vector<std::string> classes = {}) {
  return labelled(
      image_files(folder),
      [&](const std::filesystem::path& path) {
        const std::filesystem::path within = path.lexically_relative(folder);
        if (!within.has_parent_path())
          throw DataError(path.string(), "is in no class's folder", "move it into that of its class");
        return within.begin()->string();
      },
      std::move(classes));
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
