// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/data/text_file.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <fstream>
#include <string>

#include "support/folder.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

TEST_CASE("a text file is UTF-8, without its byte order mark; what is none says what it is") {
  const thaw::test::Folder folder;
  const auto read = [&](const std::string& bytes) {
    std::ofstream(folder / "a.txt", std::ios::binary) << bytes;
    return thaw::read_text(folder / "a.txt", "name a text");
  };
  CHECK(read("\xEF\xBB\xBF"
             "caf\xC3\xA9\r\n") == "caf\xC3\xA9\r\n");
  CHECK(read("").empty());
  const auto refused = [&](const std::string& bytes, const std::string& what, const std::string& fix) {
    CHECK_THROWS_MATCHES(read(bytes), thaw::DataError,
                         MessageMatches(ContainsSubstring(what) && ContainsSubstring(fix)));
  };
  refused("a\nb\ncaf\xE9\nd", "a.txt:3: no UTF-8", "iconv");
  refused(std::string("\xFF\xFEh\0i\0", 6), "a.txt: is UTF-16", "save it as UTF-8");
  refused("\xFE\xFF", "is UTF-16", "save it as UTF-8");
  refused(std::string("a\0b", 3), "it has zero bytes", "save it as UTF-8");
  refused("PK\x03\x04...", "is a zip archive, as .xlsx is", "export it as CSV");
  for (const std::string path : {"none.txt", "."})
    CHECK_THROWS_MATCHES(thaw::read_text(folder / path, "name a text"), thaw::FileError,
                         MessageMatches(ContainsSubstring("name a text")));
}
