#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>
#include <thaw/data/csv.hpp>
#include <thaw/vision/image_list.hpp>

namespace thaw::vision {

/// What a CSV file of images is like. Its first line names the columns.
struct ImageCsvOptions {
  std::filesystem::path folder = {};      ///< that the paths begin in; the file's own if empty
  std::string path = {};                  ///< column of the images' paths; the first if empty
  std::string label = {};                 ///< column of the labels; the second if empty and no `values` are named
  std::string separator = {};             ///< between several labels of an image, as " " or ";"; empty: one each
  std::vector<std::string> values = {};   ///< columns of numbers to predict, in place of labels
  std::string extension = {};             ///< put behind each path, as ".jpg"
  std::vector<std::string> classes = {};  ///< in their order; those that occur, sorted, if empty
  char delimiter = ',';
};

namespace detail {

inline std::size_t column_of(const std::vector<std::string>& headers, const std::string& name,
                             const std::string& file) {
  const auto found = std::ranges::find(headers, name);
  if (found == headers.end())
    throw DataError(file, "there is no column \"" + name + "\"", "its columns are: " + join_names(headers));
  return static_cast<std::size_t>(found - headers.begin());
}

inline std::vector<std::string> split(std::string_view text, const std::string& separator) {
  std::vector<std::string> parts;
  while (!separator.empty() && text.find(separator) != std::string_view::npos) {
    parts.emplace_back(text.substr(0, text.find(separator)));
    text.remove_prefix(text.find(separator) + separator.size());
  }
  parts.emplace_back(text);
  if (!separator.empty()) std::erase(parts, "");
  return parts;
}

inline float float_of(const std::string& cell, const std::string& where) {
  float value = 0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  if (error != std::errc() || end != cell.data() + cell.size())
    throw DataError(where, "\"" + cell + "\" is no number", "write numbers as 0.5 or 1e-3");
  return value;
}

}  // namespace detail

/// Images that a CSV file lists, with one label each, several, or numbers. Throws FileError for a file that cannot be
/// read; DataError for one that is no CSV, for a column that is not there, a label that is not in `classes`, a number
/// that is none, and an image that does not exist, naming the file and the row.
/// Example: `image_csv("train.csv", {.folder = "train", .label = "tags", .separator = " ", .extension = ".jpg"})`
[[nodiscard]] inline ImageList image_csv(const std::filesystem::path& csv, const ImageCsvOptions& options = {}) {
  const std::string file = csv.string();
  const auto rows = read_csv(csv, options.delimiter);
  if (rows.size() < 2) throw DataError(file, "lists no image", "give a line of column names, then one for each image");
  const std::vector<std::string>& headers = rows[0];
  const std::size_t path = options.path.empty() ? 0 : detail::column_of(headers, options.path, file);
  const bool labels = options.values.empty() || !options.label.empty();
  if (labels && options.label.empty() && headers.size() < 2)
    throw DataError(file, "has one column", "give a column of labels beside that of the paths");
  const std::size_t label = !labels                 ? 0
                            : options.label.empty() ? (path == 1 ? 0 : 1)
                                                    : detail::column_of(headers, options.label, file);
  std::vector<std::size_t> values;
  values.reserve(options.values.size());
  for (const std::string& name : options.values) values.push_back(detail::column_of(headers, name, file));

  ImageList list{.classes = options.classes};
  std::vector<std::vector<std::string>> names;
  std::set<std::string> occurring;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    if (labels) names.push_back(detail::split(rows[i][label], options.separator));
    if (labels) occurring.insert(names.back().begin(), names.back().end());
  }
  if (list.classes.empty()) list.classes.assign(occurring.begin(), occurring.end());
  std::map<std::string, std::int64_t> number_of;
  for (std::size_t i = 0; i < list.classes.size(); ++i) number_of.emplace(list.classes[i], i);

  const std::filesystem::path folder = options.folder.empty() ? csv.parent_path() : options.folder;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    const std::string where = file + ", row " + std::to_string(i);
    ImageItem item{.path = folder / (rows[i][path] + options.extension)};
    if (!std::filesystem::exists(item.path))
      throw DataError(where, "the image " + item.path.string() + " does not exist",
                      "say by folder where the paths begin, and by extension what they end with");
    if (labels)
      for (const std::string& name : names[i - 1]) {
        const auto found = number_of.find(name);
        if (found == number_of.end())
          throw DataError(where, "the label \"" + name + "\" is none of " + join_names(list.classes),
                          "add it to classes, or set separator if it is several");
        item.labels.push_back(found->second);
      }
    for (const std::size_t column : values) item.values.push_back(detail::float_of(rows[i][column], where));
    list.items.push_back(std::move(item));
  }
  return list;
}

}  // namespace thaw::vision
