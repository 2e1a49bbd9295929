// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>
#include <thaw/data/ordered_workers.hpp>
#include <thaw/vision/detail/image_folders.hpp>
#include <thaw/vision/image_list.hpp>
#include <thaw/vision/read_mask.hpp>

namespace thaw::vision {

namespace detail {

/// Of each set of values that a mask has, how many masks have just these. Reads every mask, by as many threads as there
/// are processors.
[[nodiscard]] inline std::map<std::set<int>, std::int64_t> mask_value_sets(const ImageList& images) {
  const auto values_of = [&](std::int64_t i) {
    return distinct(mask_numbers(images.items[static_cast<std::size_t>(i)].mask).numbers);
  };
  const auto threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  OrderedWorkers<std::set<int>> all(values_of, 0, images.size(), threads, 4 * std::int64_t{threads});
  std::map<std::set<int>, std::int64_t> sets;
  while (const auto values = all.next()) ++sets[*values];
  return sets;
}

}  // namespace detail

/// The values of all masks, and how many masks have each. Reads every mask. Throws as read_mask.
[[nodiscard]] inline std::map<int, std::int64_t> distinct_mask_values(const ImageList& images) {
  std::map<int, std::int64_t> masks;
  for (const auto& [values, count] : detail::mask_value_sets(images))
    for (const int value : values) masks[value] += count;
  return masks;
}

struct MaskDataOptions {
  std::vector<std::string> classes = {};  ///< of the pixels, in their order; named by the masks' values if empty
  std::vector<int> values = {};           ///< of each class, for ImageSourceOptions::mask_values; looked for if empty
  bool colors = false;                    ///< the masks are written in colours: values are not looked for
};

/// Images with masks. An ImageSource takes `values` as mask_values and `ignore` as mask_ignore.
struct MaskData {
  ImageList images = {};
  std::vector<int> values = {};    ///< of each class in the masks; empty where they are 0, 1, 2, ...
  std::optional<int> ignore = {};  ///< 255, where the masks have it besides the classes 0, 1, 2, ...
  std::string how = {};            ///< what was found and what was chosen, in words
};

namespace detail {

/// The one folder of those names, in any case.
inline Path folder_called(const Path& folder, const std::vector<std::string>& names) {
  std::vector<Path> found;
  for (const Path& each : entries_of(folder, true))
    if (std::ranges::find(names, lower_case(name_of(each))) != names.end()) found.push_back(each);
  if (found.empty())
    throw DataError(folder.string(), "there is none of the folders " + join_names(names),
                    "put the images into images/, and their masks into masks/, or list them by with_masks");
  if (found.size() > 1)
    throw DataError(folder.string(), "has " + name_of(found[0]) + "/ and " + name_of(found[1]) + "/",
                    "leave one of them, or list images and masks by with_masks");
  return found[0];
}

/// "a/b" of masks/a/b.png and of masks/a/b_mask.png.
inline std::string mask_key(const Path& file, const Path& folder, bool is_mask) {
  std::string stem = file.stem().string();
  for (const std::string end : {"_mask", "_label"})
    if (is_mask && stem.ends_with(end)) stem.resize(stem.size() - end.size());
  return (file.lexically_relative(folder).parent_path() / stem).generic_string();
}

/// Each image with the mask of its name.
inline ImageList pairs(const Path& images, const Path& masks, std::vector<std::string>& notes) {
  std::map<std::string, Path> mask_of;
  std::vector<std::string> passed_over, more_passed_over;
  for (const Path& file : image_files(masks, &passed_over)) {
    const auto [other, is_new] = mask_of.emplace(mask_key(file, masks, true), file);
    if (!is_new)
      throw DataError(file.string(), "is for the same image as " + name_of(other->second),
                      "leave one of the two masks");
  }
  ImageList list;
  std::map<Path, std::string> image_of;
  std::vector<std::string> without;
  for (const Path& file : image_files(images, &more_passed_over)) {
    const auto mask = mask_of.find(mask_key(file, images, false));
    if (mask == mask_of.end()) {
      without.push_back(file.lexically_relative(images).string());
      continue;
    }
    const auto [other, is_new] = image_of.emplace(mask->second, name_of(file));
    if (!is_new) throw DataError(file.string(), "has the same mask as " + other->second, "leave one of the two images");
    list.items.push_back({.path = file, .mask = mask->second});
  }
  passed_over.insert(passed_over.end(), more_passed_over.begin(), more_passed_over.end());
  for (const std::string& link : passed_over) notes.push_back("passed over " + link);
  if (!without.empty())
    throw DataError(images.string(), "without a mask in " + name_of(masks) + "/: " + join_names(without),
                    "give each image a mask of its name, as b.png for b.jpg, or move it elsewhere");
  if (const std::size_t more = mask_of.size() - list.items.size(); more > 0)
    notes.push_back(std::to_string(more) + (more == 1 ? " mask has" : " masks have") + " no image");
  return list;
}

/// Fills in what the masks' values are.
inline void choose_values(MaskData& data, const Path& masks, std::vector<std::string>& notes) {
  const std::map<std::set<int>, std::int64_t> sets = mask_value_sets(data.images);
  std::set<int> occurring;
  for (const auto& [each, count] : sets) occurring.insert(each.begin(), each.end());
  const std::vector<int> values(occurring.begin(), occurring.end());
  std::vector<std::string>& classes = data.images.classes;
  std::vector<int> others = values;  // but for 255
  if (others.back() == 255) others.pop_back();
  const auto are_numbers_below = [](const std::vector<int>& all, std::size_t n) {
    return all.empty() || (all.front() >= 0 && std::cmp_less(all.back(), n));
  };
  const std::string seen = "masks have the values " + listed(values);
  const std::size_t n = classes.size();
  const bool named = n > 0;
  if (!named && values.size() < 2)
    throw DataError(masks.string(), "all " + seen + ": there is nothing to tell apart", "give masks with two values");
  if (named ? are_numbers_below(values, n) : are_numbers_below(values, values.size())) {
    data.values = {};
  } else if (named ? values.size() != n && others.size() > 1 && are_numbers_below(others, n)
                   : others.size() > 1 && are_numbers_below(others, others.size())) {
    const bool together =
        std::ranges::any_of(sets, [](const auto& each) { return each.first.contains(255) && each.first.contains(1); });
    if (others == std::vector{0, 1} && !together)
      throw DataError(
          masks.string(), "some masks are of 0 and 1, and others of 0 and 255",
          "write all in one way, or list them by with_masks and say by mask_ignore what counts for no class");
    data.ignore = 255;
    notes.emplace_back("255 in masks counts for no class");
  } else if (named ? values.size() == n : values.size() <= 64) {
    data.values = values;
  } else {
    throw DataError(masks.string(), seen + (named ? ", and there are " + std::to_string(n) + " classes" : ""),
                    named && values.size() < n
                        ? "name a class for each value, or give the value of each class"
                        : "values between those of the classes come from a lossy file or a resize: write masks as "
                          "PNG, or name the classes and their values");
  }
  const bool lossy = std::ranges::any_of(data.images.items, [](const ImageItem& item) {
    return lower_case(item.mask.extension().string()).starts_with(".jp");
  });
  if (!named && lossy && values.size() > 2)
    throw DataError(masks.string(), seen + ", and files are JPEGs, which smear them",
                    "write masks as PNG, or name the classes and their values, and set mask_nearest");
  const std::vector<int>& of_classes = data.ignore ? others : values;
  if (!named && of_classes.size() == 2 && of_classes[0] == 0)
    classes = {"background", "foreground"};
  else if (!named)
    for (const int value : of_classes) classes.push_back(std::to_string(value));
  if (!data.values.empty() || !named) {
    std::vector<std::string> is;
    is.reserve(classes.size());
    for (std::size_t c = 0; c < classes.size(); ++c)
      is.push_back(std::to_string(data.values.empty() ? static_cast<int>(c) : values[c]) + " is " + classes[c]);
    notes.push_back("in masks, " + join_names(is));
  }
}

}  // namespace detail

/// The images in images/ (or image/, imgs/, img/) of a folder, each with the mask of its name in masks/ (or mask/,
/// labels/, label/), of whatever extension; b_mask.png and b_label.png are for b.jpg, too. Reads all masks once to see
/// what values stand for the classes: 0, 1, 2, ..., or others in rising order, as 0 and 255; without `classes` it names
/// them background and foreground, or by their values. What it chose is in MaskData::how. Throws FileError for a file
/// that cannot be read; DataError for images without a mask, naming them, and for values that are not those of classes.
/// Example: `const MaskData data = mask_data("membrane");`
[[nodiscard]] inline MaskData mask_data(const std::filesystem::path& path, const MaskDataOptions& options = {}) {
  const auto images = detail::folder_called(path, {"images", "image", "imgs", "img"});
  const auto masks = detail::folder_called(path, {"masks", "mask", "labels", "label"});
  std::vector<std::string> notes;
  MaskData data{.images = detail::pairs(images, masks, notes), .values = options.values};
  data.images.classes = options.classes;
  if (options.colors && options.classes.empty())
    throw ConfigError("mask_data", "masks in colours, and no classes", "name the class of each colour in classes");
  if (!options.values.empty() && options.values.size() != options.classes.size())
    throw ConfigError(
        "mask_data",
        std::to_string(options.values.size()) + " values and " + std::to_string(options.classes.size()) + " classes",
        "give one value for each class, in their order");
  if (options.values.empty() && !options.colors) detail::choose_values(data, masks, notes);
  data.how = detail::images(data.images.size()) + " in " + detail::name_of(images) + "/ with masks in " +
             detail::name_of(masks) + "/, " + std::to_string(data.images.classes.size()) + " classes";
  for (const std::string& note : notes) data.how += "; " + note;
  return data;
}

}  // namespace thaw::vision
