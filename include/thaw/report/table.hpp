// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include <thaw/core/compiled.hpp>
#include <thaw/report/detail/utf8.hpp>

namespace thaw {

/// Headers and rows of text. A column in which a cell starts like a number ("0.964", "12.3 s", "1,280") is aligned
/// right.
struct Table {
  std::vector<std::string> headers = {};
  std::vector<std::vector<std::string>> rows = {};  ///< a row may be shorter than the others

  /// Appends a row of anything that fmt can format, each as "{}".
  template <class... Cells>
  void add(const Cells&... cells) {
    rows.push_back({fmt::format("{}", cells)...});
  }
};

namespace detail {

[[nodiscard]] bool starts_like_number(std::string_view cell);

/// What `text` lacks of `width` columns, as blanks before or after it.
[[nodiscard]] std::string aligned(std::string_view text, std::size_t width, bool right);

/// A table's columns: how wide they are, and which are aligned right.
struct Columns {
  std::vector<std::size_t> widths = {};
  std::vector<bool> right = {};

  explicit Columns(const Table& table);

  /// The cells, each padded to its column, with `between` between them.
  [[nodiscard]] std::string row(const std::vector<std::string>& cells, std::string_view between) const;
};

/// The table with every cell passed through `clean`.
template <class Clean>
[[nodiscard]] Table cleaned(Table table, Clean clean) {
  for (std::string& header : table.headers) header = clean(header);
  for (auto& row : table.rows)
    for (std::string& cell : row) cell = clean(cell);
  return table;
}

/// The text without what would move a terminal's cursor.
[[nodiscard]] std::string printable(std::string_view text);

[[nodiscard]] std::string without_trailing_blanks(std::string line);

}  // namespace detail

/// The table in columns, with a rule under its headers and every line after `indent`.
[[nodiscard]] std::string to_text(const Table& table, std::string_view indent = "");

/// The table in Markdown (GitHub's).
[[nodiscard]] std::string to_markdown(const Table& table);

}  // namespace thaw

#if THAW_DEFINES(report)

namespace thaw::detail {

THAW_INLINE bool starts_like_number(std::string_view cell) {
  if (!cell.empty() && (cell[0] == '+' || cell[0] == '-')) cell.remove_prefix(1);
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  return !cell.empty() && cell[0] >= '0' && cell[0] <= '9' && std::ranges::count_if(cell, is_letter) <= 3;
}

THAW_INLINE std::string aligned(std::string_view text, std::size_t width, bool right) {
  const std::size_t used = display_width(text);
  const std::string blanks(width - std::min(width, used), ' ');
  return right ? blanks + std::string(text) : std::string(text) + blanks;
}

THAW_INLINE Columns::Columns(const Table& table) {
  const auto fit = [&](const std::vector<std::string>& row, bool header) {
    widths.resize(std::max(widths.size(), row.size()));
    right.resize(widths.size());
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], display_width(row[i]));
      if (!header && starts_like_number(row[i])) right[i] = true;
    }
  };
  fit(table.headers, /*header=*/true);
  for (const auto& row : table.rows) fit(row, /*header=*/false);
}

THAW_INLINE std::string Columns::row(const std::vector<std::string>& cells, std::string_view between) const {
  std::string line;
  for (std::size_t i = 0; i < widths.size(); ++i)
    line.append(i == 0 ? "" : between).append(aligned(i < cells.size() ? cells[i] : "", widths[i], right[i]));
  return line;
}

THAW_INLINE std::string printable(std::string_view text) {
  return shortened(text, text.size());
}

THAW_INLINE std::string without_trailing_blanks(std::string line) {
  line.resize(line.find_last_not_of(' ') + 1);
  return line;
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE std::string to_text(const Table& table, std::string_view indent) {
  const Table clean = detail::cleaned(table, detail::printable);
  const detail::Columns columns{clean};
  std::vector<std::string> rule;
  rule.reserve(columns.widths.size());
  for (const std::size_t width : columns.widths) rule.emplace_back(width, '-');
  std::string text;
  const auto add = [&](const std::vector<std::string>& row) {
    text += detail::without_trailing_blanks(std::string(indent) + columns.row(row, "  ")) + "\n";
  };
  add(clean.headers);
  add(rule);
  for (const auto& row : clean.rows) add(row);
  return text;
}

THAW_INLINE std::string to_markdown(const Table& table) {
  const Table clean = detail::cleaned(table, [](std::string_view text) {
    std::string out;
    for (const char c : detail::printable(text)) out.append(c == '|' ? "\\" : "") += c;
    return out;
  });
  const detail::Columns columns{clean};
  std::vector<std::string> rule;
  for (std::size_t i = 0; i < columns.widths.size(); ++i) {
    rule.emplace_back(std::max<std::size_t>(columns.widths[i], 2), '-');
    if (columns.right[i]) rule.back().back() = ':';
  }
  std::string text;
  const auto add = [&](const std::vector<std::string>& row) { text += "| " + columns.row(row, " | ") + " |\n"; };
  add(clean.headers);
  add(rule);
  for (const auto& row : clean.rows) add(row);
  return text;
}

}  // namespace thaw

#endif
