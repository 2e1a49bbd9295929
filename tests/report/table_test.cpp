// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/report/table.hpp>

#include <catch2/catch_test_macros.hpp>

using thaw::Table;

namespace {

Table arms() {
  Table table{.headers = {"arm", "valid accuracy", "seconds"}};
  table.add("body frozen", "0.964", 12.5);
  table.add("größer | all", "-", 140);
  return table;
}

}  // namespace

TEST_CASE("a table as text: names left, numbers right, no blanks at the end of a line") {
  CHECK(to_text(arms()) ==
        "arm           valid accuracy  seconds\n"
        "------------  --------------  -------\n"
        "body frozen            0.964     12.5\n"
        "größer | all               -      140\n");
  CHECK(to_text(Table{.headers = {"a", "b"}, .rows = {{"long", "x"}}}, "  ") == "  a     b\n  ----  -\n  long  x\n");
}

TEST_CASE("a table as Markdown, with bars escaped") {
  CHECK(to_markdown(arms()) ==
        "| arm           | valid accuracy | seconds |\n"
        "| ------------- | -------------: | ------: |\n"
        "| body frozen   |          0.964 |    12.5 |\n"
        "| größer \\| all |              - |     140 |\n");
}

TEST_CASE("rows may be short or long, and cells hold no line breaks") {
  const Table table{.headers = {"a", "b"}, .rows = {{"1\n2"}, {"x", "y", "z"}}};
  CHECK(to_text(table) ==
        "  a  b\n---  -  -\n1\xEF\xBF\xBD"
        "2\n  x  y  z\n");
  CHECK(to_text(Table{}) == "\n\n");
}

TEST_CASE("what aligns a column right") {
  using thaw::detail::starts_like_number;
  for (const char* number : {"0", "-1.5", "+2", "12.3 s", "1,280", "3.0e-4", "0:12", "97 %", "2.5x"})
    CHECK(starts_like_number(number));
  for (const char* word : {"", "-", "frozen", "3 groups", "resnet34", "nan"}) CHECK_FALSE(starts_like_number(word));
}
