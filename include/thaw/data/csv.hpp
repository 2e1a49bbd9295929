#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>

namespace thaw {

namespace detail {

class CsvReader {
 public:
  CsvReader(std::string text, char delimiter, std::string path)
      : text_(std::move(text)), delimiter_(delimiter), path_(std::move(path)) {
    if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;  // a byte order mark
  }

  std::vector<std::vector<std::string>> rows() {
    std::vector<std::vector<std::string>> rows;
    while (at_ < text_.size()) {
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
    if (at_ < text_.size() && text_[at_] == '"') return quoted();
    const std::size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != delimiter_ && !at_end_of_line()) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  std::string quoted() {
    const std::size_t began = line_;
    std::string content;
    while (++at_ < text_.size()) {
      if (text_[at_] == '"') {
        ++at_;
        if (at_ == text_.size() || text_[at_] != '"') return content;
      }
      line_ += text_[at_] == '\n' ? 1 : 0;
      content += text_[at_];
    }
    throw fail(began, "a quote that is not closed", "close it, or double a quote that is text");
  }

  [[nodiscard]] bool at_end_of_line() const {
    return text_[at_] == '\n' || (text_[at_] == '\r' && at_ + 1 < text_.size() && text_[at_ + 1] == '\n');
  }
  bool take_end_of_line() {
    if (!at_end_of_line()) return false;
    at_ += text_[at_] == '\r' ? 2 : 1;
    ++line_;
    return true;
  }
  [[nodiscard]] DataError fail(std::size_t line, std::string problem, std::string fix) const {
    return {path_ + ":" + std::to_string(line), std::move(problem), std::move(fix)};
  }

  std::string text_;
  char delimiter_;
  std::string path_;
  std::size_t at_ = 0, line_ = 1;
};

}  // namespace detail

/// The rows of a CSV file: RFC 4180, with any delimiter. A cell in double quotes may hold delimiters, new lines and,
/// doubled, quotes; lines end with LF or CRLF; a byte order mark and empty lines are passed over. Throws FileError for
/// a file that cannot be read; DataError for a quote that is not closed, for text behind one, and for a line with
/// another number of cells than the first, naming file and line.
[[nodiscard]] inline std::vector<std::vector<std::string>> read_csv(const std::filesystem::path& path,
                                                                    char delimiter = ',') {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw FileError(path.string(), "cannot be opened", "name a CSV file that exists");
  return detail::CsvReader({std::istreambuf_iterator<char>(file), {}}, delimiter, path.string()).rows();
}

}  // namespace thaw
