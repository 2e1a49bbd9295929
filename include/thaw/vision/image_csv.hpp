// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>
#include <thaw/data/class_names.hpp>
#include <thaw/data/csv.hpp>
#include <thaw/vision/image_list.hpp>

namespace thaw::vision {

/// What a CSV file of images is like. Columns are given by the names in its first line, or by numbers from 0 on.
struct ImageCsvOptions {
  std::filesystem::path folder = {};      ///< that the paths begin in; the file's own if empty
  CsvColumn path = {};                    ///< of the images' paths; the first if empty
  CsvColumn label = {};                   ///< of the labels; the second if empty and no `values` are named
  std::string separator = {};             ///< between several labels of an image, as " " or ";"; empty: one each
  std::vector<CsvColumn> values = {};     ///< of numbers to predict, in place of labels
  std::string extension = {};             ///< put behind each path, as ".jpg"
  std::vector<std::string> classes = {};  ///< in their order; those that occur, sorted, if empty
  char delimiter = ',';
  std::optional<bool> header = {};  ///< the first line names the columns; if unset, unless its path is an image's
  std::optional<bool> quotes = {};  ///< as in CsvFormat
  bool trim = true;                 ///< spaces around paths, labels and numbers are left out

  [[nodiscard]] CsvFormat format() const { return {.delimiter = delimiter, .quotes = quotes, .trim = trim}; }
};

namespace detail {

using thaw::detail::trimmed;

inline std::vector<std::string> split(std::string_view text, const std::string& separator, bool trim) {
  std::vector<std::string> parts;
  while (!separator.empty() && text.find(separator) != std::string_view::npos) {
    parts.emplace_back(text.substr(0, text.find(separator)));
    text.remove_prefix(text.find(separator) + separator.size());
  }
  parts.emplace_back(text);
  if (trim) std::ranges::transform(parts, parts.begin(), trimmed);
  if (!separator.empty()) std::erase(parts, "");
  return parts;
}

inline float float_of(const std::string& cell, const std::string& where) {
  const std::string text = trimmed(cell);
  const bool plus = text.starts_with('+') && !text.starts_with("+-");  // which from_chars does not take
  float value = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data() + (plus ? 1 : 0), last, value);
  if (error != std::errc() || end != last || !std::isfinite(value))
    throw DataError(where, "\"" + cell + "\" is no number", "write numbers as 0.5 or 1e-3");
  return value;
}

/// Whether the first line of a table is one of names: as the options say, or if they do not, unless it is called as an
/// image, or one of its name is there.
inline bool has_header(const std::filesystem::path& csv, const ImageCsvOptions& options,
                       const std::vector<std::filesystem::path>& folders, const std::vector<std::string>& extensions) {
  const bool named =
      options.path.named() || options.label.named() || std::ranges::any_of(options.values, &CsvColumn::named);
  if (named && !options.header.value_or(true))
    throw ConfigError(csv.string(), "has no header, and a column is given by its name", "give its number, from 0 on");
  if (named || options.header) return options.header.value_or(true);
  const auto rows = read_csv(csv, options.format());
  const auto column = static_cast<std::size_t>(std::max(0, options.path.number().value_or(0)));
  if (rows.empty() || column >= rows[0].size()) return true;
  if (has_image_extension(rows[0][column])) return false;  // there or not: no column is called so
  for (const auto& folder : folders)
    for (const std::string& extension : extensions)
      if (std::filesystem::is_regular_file(folder / (rows[0][column] + extension))) return false;
  return true;
}

/// Throws DataError where a column is taken for that of the labels, and another is called so; or where it is one of a
/// column for each class, of which each row has a 1 in one.
inline void check_label_column(const CsvTable& table, std::size_t taken) {
  const auto is_usual = [](const std::string& name) {
    static const std::set<std::string> usual{"label", "labels", "class", "classes", "target", "category", "tags"};
    return usual.contains(lower_case(name));
  };
  if (table.names.empty() || is_usual(table.names[taken])) return;
  if (const auto other = std::ranges::find_if(table.names, is_usual); other != table.names.end())
    throw DataError(table.file,
                    "the labels may be in its column \"" + table.names[taken] + "\", or in \"" + *other + "\"",
                    "say which by label = \"" + *other + "\"");
  const auto is_one_hot = [&](const std::vector<std::string>& row) {
    const auto from = row.begin() + static_cast<std::ptrdiff_t>(taken);
    const auto ones = std::count(from, row.end(), "1");
    return ones == 1 && std::count(from, row.end(), "0") + ones == row.end() - from;
  };
  if (table.names.size() >= taken + 2 && std::ranges::all_of(table.rows, is_one_hot))
    throw DataError(
        table.file,
        "has a column for each class, " + table.names[taken] + ", " + table.names[taken + 1] + ", ..., of 0 and 1",
        "write the classes' names in one column, or predict these numbers: values = {\"" + table.names[taken] +
            "\", ...}");
}

}  // namespace detail

/// Images that a CSV file lists, with one label each, several, or numbers. Throws FileError for a file that cannot be
/// read; DataError for one that is no CSV, for a column that is not there, a label that is empty or not in `classes`,
/// two labels that are spellings of one (see ClassNumbers), a number that is none, an image that does not exist, and
/// one that is there again with another label, naming the file and the row; ConfigError for a column by its name where
/// there is no header.
/// Example: `image_csv("train.csv", {.folder = "train", .label = "tags", .separator = " ", .extension = ".jpg"})`
[[nodiscard]] inline ImageList image_csv(const std::filesystem::path& csv, const ImageCsvOptions& options = {}) {
  const std::filesystem::path folder = options.folder.empty() ? csv.parent_path() : options.folder;
  const CsvTable table =
      read_table(csv, options.format(), detail::has_header(csv, options, {folder}, {options.extension}));
  if (table.rows.empty())
    throw DataError(table.file, "lists no image", "give a line of column names, then one for each image");
  const std::size_t path = options.path.empty() ? 0 : table.at(options.path);
  const bool labels = options.values.empty() || !options.label.empty();
  if (labels && options.label.empty() && table.rows[0].size() < 2)
    throw DataError(table.file, "has one column",
                    "give a column of labels beside that of the paths, or say by delimiter what stands between them");
  const std::size_t label = !labels ? 0 : options.label.empty() ? (path == 1 ? 0 : 1) : table.at(options.label);
  if (labels && options.label.empty()) detail::check_label_column(table, label);
  std::vector<std::size_t> values;
  values.reserve(options.values.size());
  for (const CsvColumn& column : options.values) values.push_back(table.at(column));

  std::vector<std::vector<std::string>> names;
  std::set<std::string> occurring;
  for (const auto& row : table.rows) {
    if (!labels) break;
    names.push_back(detail::split(row[label], options.separator, options.trim));
    occurring.insert(names.back().begin(), names.back().end());
  }
  const ClassNumbers numbers(options.classes, std::move(occurring), table.file);
  ImageList list{.classes = numbers.classes()};
  std::map<std::filesystem::path, std::size_t> row_of;  // the first of each image
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    const std::vector<std::string>& row = table.rows[i];
    ImageItem item{.path = folder / ((options.trim ? detail::trimmed(row[path]) : row[path]) + options.extension)};
    if (!std::filesystem::is_regular_file(item.path))
      throw DataError(
          table.where(i),
          "the image " + item.path.string() + (std::filesystem::exists(item.path) ? " is no file" : " does not exist"),
          "say by folder where the paths begin, and by extension what they end with");
    if (labels)
      for (const std::string& name : names[i])
        item.labels.push_back(
            numbers.of(name, table.where(i), "the label", "add it to classes, or set separator if it is several"));
    const auto [first, is_new] = row_of.emplace(item.path.lexically_normal(), i);
    if (!is_new && list.items[first->second].labels != item.labels)
      throw DataError(
          table.where(i),
          "the image " + item.path.string() + " has another label than in row " + std::to_string(first->second + 1),
          "give each image one row, and several labels in one cell, divided by a separator");
    for (const std::size_t column : values) item.values.push_back(detail::float_of(row[column], table.where(i)));
    list.items.push_back(std::move(item));
  }
  return list;
}

}  // namespace thaw::vision
