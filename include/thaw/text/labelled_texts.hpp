#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>
#include <thaw/data/csv.hpp>

namespace thaw {

/// Texts of one class each.
struct LabelledTexts {
  std::vector<std::string> classes = {};
  std::vector<std::string> texts = {};
  std::vector<std::int64_t> labels = {};  ///< numbers of classes

  /// The labels as a loss takes them: [texts], int64.
  [[nodiscard]] at::Tensor target() const { return at::tensor(labels); }
};

namespace detail {

/// `names` are the texts' classes; `wheres` say where each is from. Classes that are not given are numbered by name.
[[nodiscard]] inline LabelledTexts number_classes(std::vector<std::string> texts, const std::vector<std::string>& names,
                                                  const std::vector<std::string>& wheres,
                                                  std::vector<std::string> classes) {
  if (classes.empty()) {
    const std::set<std::string> sorted(names.begin(), names.end());
    classes.assign(sorted.begin(), sorted.end());
  }
  LabelledTexts result{.classes = std::move(classes), .texts = std::move(texts)};
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto found = std::ranges::find(result.classes, names[i]);
    if (found == result.classes.end())
      throw DataError(wheres[i], "its class \"" + names[i] + "\" is none of " + join_names(result.classes),
                      "add it to the classes, or leave the text out");
    result.labels.push_back(found - result.classes.begin());
  }
  return result;
}

}  // namespace detail

struct TextCsvOptions {
  std::string text = "text", label = "label";  ///< columns, as the first line names them
  char delimiter = ',';                        ///< '\t' for TSV
  std::vector<std::string> classes = {};       ///< in their order; those that occur, by name, if empty
};

/// Texts and labels in two columns of a CSV or TSV file (see read_csv), whose first line names the columns. Throws
/// FileError for a file that cannot be read; DataError for one that is no CSV, for a column that is not there, and for
/// a label that is not in `classes`, naming file and row. Example: `auto train = text_csv("train.csv"); auto test =
/// text_csv("test.csv", {.classes = train.classes});`
[[nodiscard]] inline LabelledTexts text_csv(const std::filesystem::path& path, const TextCsvOptions& options = {}) {
  const auto rows = read_csv(path, options.delimiter);
  if (rows.size() < 2)
    throw DataError(path.string(), "has no texts", "give a line of column names, then one for each text");
  const auto column = [&](const std::string& name) {
    const auto found = std::ranges::find(rows[0], name);
    if (found == rows[0].end())
      throw DataError(path.string(), "there is no column \"" + name + "\"", "its columns are: " + join_names(rows[0]));
    return static_cast<std::size_t>(found - rows[0].begin());
  };
  const std::size_t text = column(options.text), label = column(options.label);
  std::vector<std::string> texts, names, wheres;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    texts.push_back(rows[i][text]);
    names.push_back(rows[i][label]);
    wheres.push_back(path.string() + ", row " + std::to_string(i));
  }
  return detail::number_classes(std::move(texts), names, wheres, options.classes);
}

/// A folder with a folder per class, each text a file `.txt` in it, in the order of their names. Throws FileError for
/// what cannot be read; DataError where there is no text, and for a class that is not in `classes`.
[[nodiscard]] inline LabelledTexts text_folder(const std::filesystem::path& folder,
                                               std::vector<std::string> classes = {}) {
  std::vector<std::filesystem::path> files;
  try {
    for (const auto& child : std::filesystem::directory_iterator(folder))
      if (child.is_directory())
        for (const auto& file : std::filesystem::directory_iterator(child))
          if (file.is_regular_file() && file.path().extension() == ".txt") files.push_back(file.path());
  } catch (const std::filesystem::filesystem_error& error) {
    throw FileError(error.path1().string(), "cannot be read: " + error.code().message(),
                    "name a folder that has one folder per class");
  }
  if (files.empty())
    throw DataError(folder.string(), "there is no text in it", "give it a folder per class, with files .txt in them");
  std::ranges::sort(files);
  std::vector<std::string> texts, names, wheres;
  for (const std::filesystem::path& path : files) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw FileError(path.string(), "cannot be opened", "see that it may be read");
    texts.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    names.push_back(path.parent_path().filename().string());
    wheres.push_back(path.string());
  }
  return detail::number_classes(std::move(texts), names, wheres, std::move(classes));
}

}  // namespace thaw
