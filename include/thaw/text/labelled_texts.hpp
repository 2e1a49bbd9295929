// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>
#include <thaw/data/class_names.hpp>
#include <thaw/data/csv.hpp>
#include <thaw/data/files_below.hpp>
#include <thaw/data/text_file.hpp>

namespace thaw::text {

/// Texts of one class each.
struct LabelledTexts {
  std::vector<std::string> classes = {};
  std::vector<std::string> texts = {};
  std::vector<std::int64_t> labels = {};  ///< numbers of classes

  /// The labels as a loss takes them: [texts], int64.
  [[nodiscard]] at::Tensor target() const { return at::tensor(labels); }
};

namespace detail {

/// `names` are the texts' classes; `wheres` say where each is from, `where` where all are.
[[nodiscard]] inline LabelledTexts number_classes(std::vector<std::string> texts, const std::vector<std::string>& names,
                                                  const std::vector<std::string>& wheres,
                                                  std::vector<std::string> classes, const std::string& where) {
  const ClassNumbers numbers(std::move(classes), {names.begin(), names.end()}, where);
  LabelledTexts result{.classes = numbers.classes(), .texts = std::move(texts)};
  for (std::size_t i = 0; i < names.size(); ++i)
    result.labels.push_back(
        numbers.of(names[i], wheres[i], "its class", "add it to the classes, or leave the text out"));
  return result;
}

}  // namespace detail

struct TextCsvOptions {
  CsvColumn text = "text", label = "label";  ///< as the first line names them, or by number from 0 on
  char delimiter = ',';                      ///< '\t' for TSV
  std::vector<std::string> classes = {};     ///< in their order; those that occur, by name, if empty
  std::optional<bool> header = {};  ///< the first line names the columns; if unset, where a column is given by name
  std::optional<bool> quotes = {};  ///< as in CsvFormat
  bool trim = true;                 ///< spaces around labels, and around texts without quotes, are left out
};

/// Texts and labels in two columns of a CSV or TSV file (see read_csv). Throws FileError for a file that cannot be
/// read; DataError for one that is no CSV, for a column that is not there, for a label that is not in `classes`, and
/// for columns by number where the first line may be one of names (its label is no other text's) and `header` does not
/// say, naming file and row; ConfigError for a column by its name where there is no header. Example: `auto train =
/// text_csv("train.csv"); auto test = text_csv("test.csv", {.classes = train.classes});` AG News, which has no header:
/// `text_csv("train.csv", {.text = 2, .label = 0})`
[[nodiscard]] inline LabelledTexts text_csv(const std::filesystem::path& path, const TextCsvOptions& options = {}) {
  const bool named = options.text.named() || options.label.named();
  if (named && !options.header.value_or(true))
    throw ConfigError(path.string(), "has no header, and a column is given by its name", "give its number, from 0 on");
  const CsvFormat format{.delimiter = options.delimiter, .quotes = options.quotes, .trim = options.trim};
  const CsvTable table = read_table(path, format, options.header.value_or(named));
  if (table.rows.empty())
    throw DataError(path.string(), "has no texts", "give a line of column names, then one for each text");
  const std::size_t text = table.at(options.text), label = table.at(options.label);
  std::vector<std::string> texts, names, wheres;
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    texts.push_back(table.rows[i][text]);
    names.push_back(options.trim ? thaw::detail::trimmed(table.rows[i][label]) : table.rows[i][label]);
    wheres.push_back(table.where(i));
  }
  const auto known = [&](const std::string& name) {
    return options.classes.empty() ? std::ranges::count(names, name) > 1
                                   : std::ranges::find(options.classes, name) != options.classes.end();
  };
  if (!named && !options.header && !known(names[0]))
    throw DataError(path.string(), "its first line may be one of names: no other has the label \"" + names[0] + '"',
                    "say which by header = true or false");
  return detail::number_classes(std::move(texts), names, wheres, options.classes, path.string());
}

/// A folder with a folder per class, which may hold folders itself; each text is a file `.txt` (in any case) in it, in
/// the order of their names. Links that lead nowhere or back up are passed over, and named in `passed_over`. Throws
/// FileError for what cannot be read; DataError where there is no text, for one that is no UTF-8, and for a
/// class that is not in `classes`; without `classes` also for a class's folder without texts, and for train/ and test/,
/// which are no classes.
[[nodiscard]] inline LabelledTexts text_folder(const std::filesystem::path& folder,
                                               std::vector<std::string> classes = {},
                                               std::vector<std::string>* passed_over = nullptr) {
  const auto is_text = [&](const std::filesystem::path& path) {
    return lower_case(path.extension().string()) == ".txt" && path.lexically_relative(folder).has_parent_path();
  };
  FilesBelow found = files_below(folder, is_text, "name a folder that has one folder per class");
  const std::vector<std::filesystem::path>& files = found.files;
  if (passed_over != nullptr) *passed_over = std::move(found.passed_over);
  if (files.empty())
    throw DataError(folder.string(), "there is no text in it", "give it a folder per class, with files .txt in them");
  if (classes.empty())
    check_class_folders(folder, files, "a text", "name one of them, and give the others its classes");
  std::vector<std::string> texts, names, wheres;
  for (const std::filesystem::path& path : files) {
    texts.push_back(read_text(path, "see that it may be read"));
    names.push_back(path.lexically_relative(folder).begin()->string());
    wheres.push_back(path.string());
  }
  return detail::number_classes(std::move(texts), names, wheres, std::move(classes), folder.string());
}

}  // namespace thaw::text
