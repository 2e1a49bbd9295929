// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/data/csv.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <fstream>
#include <string>
#include <vector>

#include "support/folder.hpp"

namespace {

using CsvRows = std::vector<std::vector<std::string>>;

CsvRows csv_rows(const std::string& text, char delimiter = ',') {
  const thaw::test::Folder folder;
  std::ofstream(folder / "a.csv", std::ios::binary) << text;
  return thaw::read_csv(folder / "a.csv", delimiter);
}

}  // namespace

TEST_CASE("a CSV file is read as RFC 4180 has it") {
  CHECK(csv_rows("a,b\n1,2\n") == CsvRows{{"a", "b"}, {"1", "2"}});
  CHECK(csv_rows("a,b\r\n1,\r\n") == CsvRows{{"a", "b"}, {"1", ""}});
  CHECK(csv_rows("a,b\n1,2") == CsvRows{{"a", "b"}, {"1", "2"}});
  CHECK(csv_rows(",\n,") == CsvRows{{"", ""}, {"", ""}});
  CHECK(csv_rows("\"a,\"\"x\"\"\n\r\n\",b\n") == CsvRows{{"a,\"x\"\n\r\n", "b"}});
  CHECK(csv_rows("\"\",\"b\"") == CsvRows{{"", "b"}});
  CHECK(csv_rows("a\tb,c\n", '\t') == CsvRows{{"a", "b,c"}});
  CHECK(csv_rows("\xEF\xBB\xBF"
                 "a\n\n\r\nb\n\n") == CsvRows{{"a"}, {"b"}});
  CHECK(csv_rows("a\"b,c\rd\n") == CsvRows{{"a\"b", "c\rd"}});
  CHECK(csv_rows("a,b\r1,\"x\"\r") == CsvRows{{"a", "b"}, {"1", "x"}});  // as old Macs end lines
  CHECK(csv_rows("").empty());
}

TEST_CASE("a CSV file that is none is refused, with the line") {
  using Catch::Matchers::ContainsSubstring;
  using Catch::Matchers::MessageMatches;
  const auto refused = [](const std::string& text, const std::string& where, const std::string& what) {
    CHECK_THROWS_MATCHES(csv_rows(text), thaw::DataError,
                         MessageMatches(ContainsSubstring("a.csv:" + where + ": ") && ContainsSubstring(what)));
  };
  refused("a,b\n\"x\n", "2", "not closed");
  refused("a,b\n\"x\"y,2\n", "2", "text after a cell's closing quote");
  refused("a,b\n\n\"1\n2\",3\n4\n", "5", "1 cells, where the first line has 2");
  CHECK_THROWS_AS(thaw::read_csv("no/such.csv"), thaw::FileError);
}

TEST_CASE("where tabs delimit cells a quote is text, unless quotes are asked for") {
  CHECK(csv_rows("1\t\"a\n0\tb\n", '\t') == CsvRows{{"1", "\"a"}, {"0", "b"}});
  const thaw::test::Folder folder;
  std::ofstream(folder / "a.tsv", std::ios::binary) << "1\t\"a\tb\"\n";
  CHECK(thaw::read_csv(folder / "a.tsv", {.delimiter = '\t', .quotes = true}) == CsvRows{{"1", "a\tb"}});
  CHECK(thaw::read_csv(folder / "a.tsv", {.delimiter = ' ', .quotes = false}) == CsvRows{{"1\t\"a\tb\""}});
  std::ofstream(folder / "a.csv", std::ios::binary) << "\"a,b\n";
  CHECK(thaw::read_csv(folder / "a.csv", {.quotes = false}) == CsvRows{{"\"a", "b"}});
}

TEST_CASE("spaces around cells are left out, but for those within quotes, and unless they are to stay") {
  CHECK(csv_rows("label, path \n \"a\" ,\t\" dog\"\n   \n") == CsvRows{{"label", "path"}, {"a", " dog"}});
  CHECK(csv_rows("a \t b\t\n", '\t') == CsvRows{{"a", "b", ""}});
  CHECK(csv_rows("a  b\n", ' ') == CsvRows{{"a", "", "b"}});
  const thaw::test::Folder folder;
  std::ofstream(folder / "a.csv", std::ios::binary) << "a, b \n";
  CHECK(thaw::read_csv(folder / "a.csv", {.trim = false}) == CsvRows{{"a", " b "}});
}

TEST_CASE("a table's columns are found by name or number, with and without a line of names") {
  using Catch::Matchers::ContainsSubstring;
  using Catch::Matchers::MessageMatches;
  const thaw::test::Folder folder;
  std::ofstream(folder / "a.csv", std::ios::binary) << "id,\" name \"\n1,x\n";
  const thaw::CsvTable named = thaw::read_table(folder / "a.csv", {}, true);
  CHECK(named.at("name") == 1);
  CHECK(named.at(0) == 0);
  CHECK(named.rows == CsvRows{{"1", "x"}});
  CHECK_THAT(named.where(0), ContainsSubstring("a.csv, row 1"));
  CHECK_THROWS_MATCHES(
      named.at("x"), thaw::DataError,
      MessageMatches(ContainsSubstring("no column \"x\"") && ContainsSubstring("its columns are: id, name")));
  const thaw::CsvTable bare = thaw::read_table(folder / "a.csv", {}, false);
  CHECK(bare.rows.size() == 2);
  CHECK_THROWS_MATCHES(bare.at("id"), thaw::DataError, MessageMatches(ContainsSubstring("say by a number")));
  for (const int number : {-1, 2})
    CHECK_THROWS_MATCHES(bare.at(number), thaw::DataError,
                         MessageMatches(ContainsSubstring("no column " + std::to_string(number)) &&
                                        ContainsSubstring("it has 2, numbered from 0")));
}
