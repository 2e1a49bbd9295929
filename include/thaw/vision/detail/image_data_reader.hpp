// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Included by thaw/vision/image_data.hpp alone.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>
#include <thaw/data/csv.hpp>
#include <thaw/vision/detail/image_folders.hpp>
#include <thaw/vision/image_csv.hpp>
#include <thaw/vision/image_data.hpp>
#include <thaw/vision/image_list.hpp>
#include <thaw/vision/split.hpp>

namespace thaw::vision {
namespace detail {

/// Reads one data set; collects what there is to say about it.
struct ImageDataReader {
  Path path;
  ImageDataOptions options;
  std::vector<std::string> notes = {};

  /// Ends `how`: the number of classes, then what else was chosen.
  [[nodiscard]] std::string with_notes(std::string how, const ImageList& list) const {
    if (!list.classes.empty()) how += ", " + std::to_string(list.classes.size()) + " classes";
    for (const std::string& note : notes) how += "; " + note;
    return how;
  }

  static bool one_label_each(const ImageList& list) {
    return std::ranges::all_of(list.items, [](const ImageItem& item) { return item.labels.size() == 1; });
  }

  void check_classes(const ImageList& list) {
    if (!one_label_each(list)) return;
    std::vector<std::string> occurring, absent;
    const std::vector<std::int64_t> counts = list.counts();
    for (std::size_t i = 0; i < counts.size(); ++i) (counts[i] > 0 ? occurring : absent).push_back(list.classes[i]);
    if (occurring.size() < 2)
      throw DataError(path.string(),
                      "one class only, " + in_quotes(join_names(occurring)) + ": there is nothing to tell apart",
                      "name a folder that holds a folder for each class, at least two");
    if (!absent.empty()) notes.push_back("no image to train on of " + join_names(absent));
  }

  /// Of which classes `list` has no image, where others have: said, since its metrics are blind to them.
  void note_missing(const ImageList& list, const std::string& where) {
    if (list.items.empty() || list.classes.empty() || !one_label_each(list)) return;
    std::vector<std::string> occurring, absent;
    const std::vector<std::int64_t> counts = list.counts();
    for (std::size_t i = 0; i < counts.size(); ++i) (counts[i] > 0 ? occurring : absent).push_back(list.classes[i]);
    if (occurring.size() == 1)
      notes.push_back("all " + images(list.size()) + " " + where + " are of one class, " + occurring[0] +
                      ": an accuracy there says little");
    else if (!absent.empty())
      notes.push_back("no image " + where + " of " + join_names(absent));
  }

  /// What has no validation images of its own. `what` says where the images are.
  ImageData hold_back(const ImageList& all, const std::string& what) {
    check_classes(all);
    Split split = options.per_class > 0 ? split_per_class(all, options.per_class, options.seed)
                                        : stratified_split(all, options.valid, options.seed);
    std::vector<std::string> single;
    const std::vector<std::int64_t> counts = all.counts();
    for (std::size_t i = 0; i < counts.size(); ++i)
      if (counts[i] == 1) single.push_back(all.classes[i]);
    if (one_label_each(all) && !single.empty())
      notes.push_back(join_names(single) +
                      (single.size() == 1 ? " has one image, which stays" : " have one image each, which stays") +
                      " in training");
    note_missing(split.valid, "held back");
    const std::string each = all.classes.empty() ? "" : " of each class";
    const std::string seed = each + ", drawn by seed " + std::to_string(options.seed) + ")";
    std::string how = images(all.size()) + " " + what + ": " + std::to_string(split.train.size()) + " to train on";
    if (options.per_class > 0) how += " (" + std::to_string(options.per_class) + seed;
    how += ", " + std::to_string(split.valid.size()) + " held back";
    if (options.per_class == 0) how += " (" + thaw::detail::number(100 * options.valid) + " %" + seed;
    return {.train = std::move(split.train),
            .valid = std::move(split.valid),
            .test = {.classes = all.classes},
            .how = with_notes(how, all)};
  }

  /// A folder for each class, to be trained on.
  [[nodiscard]] ImageList class_folders(const Path& folder) {
    for (const Path& each : entries_of(folder, true))
      if (!has_images(each))
        throw DataError(each.string(), "a class's folder without an image that can be read",
                        "put the class's images in, or remove the folder");
    std::vector<std::string> passed_over;
    ImageList list = image_folder(folder, options.classes, &passed_over);
    for (const std::string& link : passed_over) notes.push_back("passed over " + link);
    return list;
  }

  /// A folder for each class, to be compared with: classes as `classes` spells them.
  ImageList other_part(const Path& folder, const std::string& train, const std::vector<std::string>& classes) {
    std::map<std::string, std::string> spelling;
    for (const std::string& name : classes) spelling.emplace(lower_case(name), name);
    for (const Path& each : entries_of(folder, true)) {
      const std::string name = name_of(each);
      if (std::ranges::find(classes, name) != classes.end() || !has_images(each)) continue;
      const auto same = spelling.find(lower_case(name));
      if (same == spelling.end()) {
        const std::string nearest = nearest_name(name, classes);
        const bool near = edit_distance(name, nearest) < 3;
        std::string fix = near ? "did you mean \"" + nearest + "\"? Otherwise give " : "give ";
        fix.append(train).append("/ a folder of such images, or remove this one");
        throw DataError(each.string(),
                        "the class " + in_quotes(name) + " is not in " + train + "/, which has " + join_names(classes),
                        fix);
      }
      notes.push_back(name_of(folder) + "/" + name + " is taken for " + same->second);
    }
    return labelled(
        image_files(folder),
        [&](const Path& file) {
          const Path within = file.lexically_relative(folder);
          if (!within.has_parent_path())
            throw DataError(file.string(), "is in no class's folder", "move it into that of its class");
          std::string name = within.begin()->string();
          if (std::ranges::find(classes, name) != classes.end()) return name;
          return spelling.at(lower_case(name));
        },
        classes);
  }

  /// `per_class` images of each class; the others are left out.
  [[nodiscard]] ImageList so_many_of_each(const ImageList& all) const {
    ImageList list{.classes = all.classes};
    std::set<std::size_t> drawn;
    for (const auto& [labels, items] : shuffled_classes(all, options.seed)) {
      if (std::ssize(items) < options.per_class)
        throw DataError(path.string(),
                        "there are " + images(std::ssize(items)) + " of " +
                            all.classes.at(static_cast<std::size_t>(labels.at(0))) + ", and per_class is " +
                            std::to_string(options.per_class),
                        "ask for no more than the smallest class has, or add images to it");
      drawn.insert(items.begin(), items.begin() + options.per_class);
    }
    for (const std::size_t i : drawn) list.items.push_back(all.items[i]);
    return list;
  }

  /// train/ and valid/ or test/, or both.
  ImageData parts(const std::map<std::string, Path>& found) {
    const Path& folder = found.at("train");
    const std::string train_name = name_of(folder);
    const ImageList all = class_folders(folder);
    const bool has_valid = found.contains("valid"), has_test = found.contains("test");
    for (const Path& each : entries_of(path, true))
      if (has_images(each) && std::ranges::none_of(found, [&](const auto& part) { return part.second == each; }))
        notes.push_back(name_of(each) + "/ is not used" +
                        (part_of(each).empty() ? "" : ": it has no folder for each class"));
    if (!has_valid && !has_test) {
      notes.insert(notes.begin(), "there is no valid/");
      return hold_back(all, "in " + train_name + "/");
    }
    check_classes(all);
    const Path& valid = found.at(has_valid ? "valid" : "test");
    const std::string valid_name = name_of(valid);
    if (!has_valid) notes.push_back("there is no valid/: " + valid_name + "/ is held back in its place");
    ImageData data{.train = all, .valid = other_part(valid, train_name, all.classes), .test = {.classes = all.classes}};
    note_missing(data.valid, "in " + valid_name + "/");
    if (has_valid && has_test) data.test = other_part(found.at("test"), train_name, all.classes);
    data.how = images(all.size()) + " in " + train_name + "/, ";
    if (options.per_class > 0) {
      data.train = so_many_of_each(all);
      data.how += "of which " + std::to_string(data.train.size()) + " are trained on (" +
                  std::to_string(options.per_class) + " of each class, drawn by seed " + std::to_string(options.seed) +
                  "), ";
    }
    data.how += std::to_string(data.valid.size()) + " in " + valid_name + "/";
    if (!data.test.items.empty())
      data.how += ", " + std::to_string(data.test.size()) + " in " + name_of(found.at("test")) + "/";
    data.how = with_notes(data.how, all);
    return data;
  }

  /// Where a CSV file's images may lie: beside it, or in a folder there, first of all train/, but not test/ or valid/.
  [[nodiscard]] std::vector<Path> folders_of(const Path& csv) const {
    if (!options.csv.folder.empty()) return {options.csv.folder};
    std::vector<Path> folders = entries_of(csv.has_parent_path() ? csv.parent_path() : ".", true);
    std::erase_if(folders, [](const Path& each) { return !part_of(each).empty() && part_of(each) != "train"; });
    std::ranges::stable_sort(folders, {}, [](const Path& each) { return part_of(each).empty(); });  // parts first
    folders.insert(folders.begin(), csv.parent_path());
    return folders;
  }

  /// Sets folder and extension so that all paths of the CSV file are files'; or else, for image_csv to say what is
  /// missing, so that the first one is, and gives false.
  bool find_images(const Path& csv) {
    ImageCsvOptions& how = options.csv;
    std::vector<std::string> extensions{how.extension};
    if (how.extension.empty())
      extensions = {"", ".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".tif", ".bmp", ".webp"};
    const std::vector<Path> folders = folders_of(csv);
    how.header = has_header(csv, how, folders, extensions);
    const CsvTable table = read_table(csv, how.format(), *how.header);
    if (table.rows.empty()) return false;
    const bool there = how.path.number() || std::ranges::find(table.names, how.path.name()) != table.names.end();
    const std::size_t column = how.path.empty() || !there ? 0 : table.at(how.path);
    for (const auto last : {table.rows.end(), table.rows.begin() + 1})
      for (const Path& folder : folders)
        for (const std::string& extension : extensions)
          if (std::all_of(table.rows.begin(), last, [&](const auto& row) {
                return std::filesystem::is_regular_file(folder / (row.at(column) + extension));
              })) {
            how.folder = folder;
            how.extension = extension;
            return last == table.rows.end();
          }
    return false;
  }

  ImageData table(const Path& csv) {
    const bool said = !options.csv.folder.empty();
    (void)find_images(csv);
    if (options.csv.classes.empty()) options.csv.classes = options.classes;
    const ImageList all = image_csv(csv, options.csv);
    std::string what = "that " + name_of(csv) + " lists";
    if (!said && options.csv.folder != csv.parent_path()) what += ", in " + name_of(options.csv.folder) + "/";
    const bool header = options.csv.header.value_or(true);  // find_images has filled it in
    if (!header) notes.emplace_back("its first line is an image's, as there are no names of columns");
    const CsvTable table = read_table(csv, options.csv.format(), header);
    const auto column = std::ranges::find_if(table.names, [](const std::string& name) {
      return lower_case(name) == "is_valid" || lower_case(name) == "split";
    });
    if (column == table.names.end() || options.per_class > 0) {
      if (column != table.names.end()) notes.push_back("its column " + *column + " is not used, as per_class is given");
      return hold_back(all, what);
    }
    return by_column(all, table, static_cast<std::size_t>(column - table.names.begin()), what);
  }

  /// As a column says: "is_valid" by true or false, or "split" by the name of a part.
  ImageData by_column(const ImageList& all, const CsvTable& table, std::size_t column, const std::string& what) {
    const ImageList none{.classes = all.classes};
    ImageData data{.train = none, .valid = none, .test = none};
    for (std::size_t i = 0; i < all.items.size(); ++i) {
      const std::string said = lower_case(table.rows[i][column]);
      const std::string part = said == "true" || said == "1"                    ? "valid"
                               : said == "false" || said == "0" || said.empty() ? "train"
                                                                                : part_of(said);
      if (part.empty())
        throw DataError(path.string() + ", row " + std::to_string(i + 1),
                        "the column " + table.names[column] + " says " + in_quotes(table.rows[i][column]),
                        "write train, valid or test, or true and false of is_valid");
      (part == "train" ? data.train : part == "valid" ? data.valid : data.test).items.push_back(all.items[i]);
    }
    if (data.valid.items.empty()) std::swap(data.valid, data.test);
    if (data.train.items.empty() || data.valid.items.empty())
      throw DataError(path.string(), "its column " + table.names[column] + " puts all images into one part",
                      "hold back some, not all; or leave the column out");
    check_classes(data.train);
    note_missing(data.valid, "held back");
    data.how = images(all.size()) + " " + what + ": " + std::to_string(data.train.size()) + " to train on, " +
               std::to_string(data.valid.size()) + " held back, as its column " + table.names[column] + " says";
    if (!data.test.items.empty()) data.how += ", " + std::to_string(data.test.size()) + " for a test";
    data.how = with_notes(data.how, all);
    return data;
  }

  ImageData read() {
    if (!std::filesystem::exists(path)) throw FileError(path.string(), "does not exist", "name a folder of images");
    if (!std::filesystem::is_directory(path)) return table(path);
    if (path.filename().empty()) path = path.parent_path();  // "flowers/"

    const std::vector<Path> folders = entries_of(path, true);
    std::map<std::string, Path> found;
    for (const Path& folder : folders)
      if (const std::string part = part_of(folder); !part.empty() && has_class_folders(folder))
        if (const auto [other, is_new] = found.emplace(part, folder); !is_new)
          throw DataError(path.string(), "has " + name_of(other->second) + "/ and " + name_of(folder) + "/",
                          "leave one of them");
    if (found.contains("train")) return parts(found);

    std::vector<Path> with_images, csvs;
    std::ranges::copy_if(folders, std::back_inserter(with_images), has_images);
    std::ranges::copy_if(entries_of(path, false), std::back_inserter(csvs),
                         [](const Path& file) { return lower_case(file.extension().string()) == ".csv"; });
    if (csvs.size() == 1) {
      const ImageCsvOptions asked = options.csv;
      if (find_images(csvs[0]) || with_images.size() < 2) {
        options.csv = asked;
        return table(csvs[0]);
      }
    }
    const auto is_part = [](const Path& folder) { return !part_of(folder).empty(); };
    if (std::ranges::all_of(with_images, is_part) || (csvs.size() > 1 && with_images.size() < 2))
      refuse(with_images, csvs);
    for (const Path& csv : csvs) notes.push_back(name_of(csv) + " is not used");
    for (const Path& folder : with_images)
      if (!part_of(folder).empty()) notes.push_back(name_of(folder) + "/ is taken for a class, as it holds images");
    const ImageList all = class_folders(path);
    if (with_images.size() == 1 && has_class_folders(with_images[0]))
      throw DataError(path.string(),
                      "one class only, " + in_quotes(name_of(with_images[0])) + ": there is nothing to tell apart",
                      "did you mean " + with_images[0].string() + "?");
    return hold_back(all, "in " + std::to_string(with_images.size()) + " folders");
  }

  /// There is no folder for each class.
  [[noreturn]] void refuse(const std::vector<Path>& with_images, const std::vector<Path>& csvs) const {
    std::vector<std::string> names, tables;
    for (const Path& folder : with_images) names.push_back(name_of(folder) + "/");
    for (const Path& csv : csvs) tables.push_back(name_of(csv));
    const std::string fix = tables.empty() ? "give each class a folder, or put a CSV file of names and labels beside"
                                           : "name the file that lists images and labels: " + join_names(tables);
    if (names.empty() && !has_own_images(path)) throw DataError(path.string(), "there is no image in it", fix);
    if (names.empty()) throw DataError(path.string(), "its images are in no class's folder", fix);
    if (std::ranges::any_of(with_images, has_class_folders))
      throw DataError(path.string(),
                      "has " + join_names(names) + ", and no train/ with a folder of images for each class",
                      "call the folder that is to be trained on train/");
    throw DataError(path.string(), "has images in " + join_names(names) + " and no folder for each class there", fix);
  }
};

}  // namespace detail

inline ImageData image_data(const std::filesystem::path& path, const ImageDataOptions& options) {
  detail::check_fraction(options.valid);
  if (options.per_class < 0)
    throw ConfigError("image_data", std::to_string(options.per_class) + " images of each class to train on",
                      "give a number of images, or 0 for all");
  return detail::ImageDataReader{.path = path, .options = options}.read();
}

}  // namespace thaw::vision
