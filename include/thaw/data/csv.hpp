// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/names.hpp>
#include <thaw/data/text_file.hpp>

namespace thaw {

/// How a table is written.
struct CsvFormat {
  char delimiter = ',';             ///< '\t' for TSV
  std::optional<bool> quotes = {};  ///< cells may be quoted as in RFC 4180; if unset, unless tabs delimit them
  bool trim = true;                 ///< spaces around a cell are left out; those within quotes stay
};

namespace detail {

[[nodiscard]] inline std::string trimmed(const std::string& text) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  return begin == text.npos ? std::string() : text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin);
}

class CsvReader {
 public:
  CsvReader(std::string text, const CsvFormat& format, std::string path)
      : text_(std::move(text)),
        delimiter_(format.delimiter),
        quotes_(format.quotes.value_or(format.delimiter != '\t')),
        trim_(format.trim),
        path_(std::move(path)),
        lone_returns_(text_.find('\n') == std::string::npos) {}

  std::vector<std::vector<std::string>> rows() {
    std::vector<std::vector<std::string>> rows;
    while (at_ < text_.size()) {
      pass_blanks();
      if (at_ == text_.size()) break;
      if (take_end_of_line()) continue;  // an empty line
      const std::size_t line = line_;
      std::vector<std::string> row{cell()};
      while (at_ < text_.size() && !take_end_of_line()) {
        if (text_[at_] != delimiter_)
          throw fail(line_, "text after a cell's closing quote", "quote the whole cell, and double quotes within it");
        ++at_;
        row.push_back(cell());
      }
      if (!rows.empty() && row.size() != rows[0].size())
        throw fail(line,
                   std::to_string(row.size()) + " cells, where the first line has " + std::to_string(rows[0].size()),
                   "give every line as many, and quote cells that hold the delimiter");
      rows.push_back(std::move(row));
    }
    return rows;
  }

 private:
  /// What is left of the line is a delimiter, an end of line, or the end.
  std::string cell() {
    pass_blanks();
    if (quotes_ && at_ < text_.size() && text_[at_] == '"') {
      std::string content = quoted();
      pass_blanks();
      return content;
    }
    const std::size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != delimiter_ && !at_end_of_line()) ++at_;
    std::size_t end = at_;
    while (trim_ && end > begin && is_blank(text_[end - 1])) --end;
    return text_.substr(begin, end - begin);
  }

  [[nodiscard]] bool is_blank(char c) const { return (c == ' ' || c == '\t') && c != delimiter_; }
  void pass_blanks() {
    while (trim_ && at_ < text_.size() && is_blank(text_[at_])) ++at_;
  }

  std::string quoted() {
    const std::size_t began = line_;
    std::string content;
    while (++at_ < text_.size()) {
      if (text_[at_] == '"') {
        ++at_;
        if (at_ == text_.size() || text_[at_] != '"') return content;
      }
      if (text_[at_] == '\n') ++line_;
      content += text_[at_];
    }
    throw fail(began, "a quote that is not closed", "close it, or double a quote that is text");
  }

  [[nodiscard]] bool at_end_of_line() const {
    return text_[at_] == '\n' ||
           (text_[at_] == '\r' && (lone_returns_ || (at_ + 1 < text_.size() && text_[at_ + 1] == '\n')));
  }
  bool take_end_of_line() {
    if (!at_end_of_line()) return false;
    at_ += text_[at_] == '\r' && !lone_returns_ ? 2U : 1U;
    ++line_;
    return true;
  }
  [[nodiscard]] DataError fail(std::size_t line, std::string problem, std::string fix) const {
    return {path_ + ":" + std::to_string(line), std::move(problem), std::move(fix)};
  }

  std::string text_;
  char delimiter_;
  bool quotes_, trim_;
  std::string path_;
  bool lone_returns_;  // end lines, as on old Macs
  std::size_t at_ = 0, line_ = 1;
};

}  // namespace detail

/// The rows of a CSV file: RFC 4180, with any delimiter. A cell in double quotes may hold delimiters, new lines and,
/// doubled, quotes; where tabs delimit cells, a quote is text like any other, unless the format says otherwise. Lines
/// end with LF or CRLF, or all with CR; a byte order mark and empty lines are passed over. Throws FileError for a file
/// that cannot be read; DataError for what is no UTF-8, for a quote that is not closed, for text behind one, and for a
/// line with another number of cells than the first, naming file and line.
[[nodiscard]] inline std::vector<std::vector<std::string>> read_csv(const std::filesystem::path& path,
                                                                    const CsvFormat& format) {
  return detail::CsvReader(read_text(path, "name a CSV file that exists"), format, path.string()).rows();
}
[[nodiscard]] inline std::vector<std::vector<std::string>> read_csv(const std::filesystem::path& path,
                                                                    char delimiter = ',') {
  return read_csv(path, CsvFormat{.delimiter = delimiter});
}

/// A column of a table, by the name that the table's first line gives it, or by its number from 0 on.
class CsvColumn {
 public:
  CsvColumn() = default;  ///< none
  CsvColumn(std::string name) : name_(std::move(name)) {}
  CsvColumn(const char* name) : name_(name) {}
  CsvColumn(int number) : number_(number) {}

  [[nodiscard]] bool empty() const { return !number_ && name_.empty(); }
  [[nodiscard]] bool named() const { return !name_.empty(); }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::optional<int> number() const { return number_; }

 private:
  std::string name_;
  std::optional<int> number_;
};

/// A table whose columns are found by name or number.
struct CsvTable {
  std::string file = {};
  std::vector<std::string> names = {};  ///< of the columns; none for a table without a line of names
  std::vector<std::vector<std::string>> rows = {};

  /// Where the i-th row is, for an error.
  [[nodiscard]] std::string where(std::size_t i) const { return file + ", row " + std::to_string(i + 1); }

  /// Its place in a row. Throws DataError for a column that the table does not have.
  [[nodiscard]] std::size_t at(const CsvColumn& column) const {
    const std::size_t columns = names.empty() ? rows.at(0).size() : names.size();
    if (column.number()) {
      if (*column.number() < 0 || std::cmp_greater_equal(*column.number(), columns))
        throw DataError(file, "there is no column " + std::to_string(*column.number()),
                        "it has " + std::to_string(columns) + ", numbered from 0");
      return static_cast<std::size_t>(*column.number());
    }
    const auto found = std::ranges::find(names, column.name());
    if (found == names.end())
      throw DataError(file, "there is no column \"" + column.name() + "\"",
                      names.empty() ? "its first line has no names: say by a number which column it is"
                                    : "its columns are: " + join_names(names) +
                                          "; where those are no names, say by a number which column it is");
    return static_cast<std::size_t>(found - names.begin());
  }
};

/// Reads a table. `header` says whether its first line names the columns. Throws as read_csv.
[[nodiscard]] inline CsvTable read_table(const std::filesystem::path& path, const CsvFormat& format, bool header) {
  CsvTable table{.file = path.string(), .rows = read_csv(path, format)};
  if (!header || table.rows.empty()) return table;
  table.names = std::move(table.rows.front());
  table.rows.erase(table.rows.begin());
  if (format.trim) std::ranges::transform(table.names, table.names.begin(), detail::trimmed);
  return table;
}

}  // namespace thaw
