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
