#include <fmt/format.h>

#include <catch2/catch_test_macros.hpp>
#include <thaw/weights/load_report.hpp>

TEST_CASE("A report of a full load is one line") {
  CHECK(thaw::LoadReport{.loaded = {"a", "b"}}.to_string() == "2 tensors loaded");
}

TEST_CASE("A report names every tensor that was not loaded") {
  const thaw::LoadReport report{
      .loaded = {"a"}, .missing = {"b", "c"}, .unexpected = {"d"}, .mismatched = {{"e", {3, 4}, {}}}, .dropped = {"f"}};
  CHECK(fmt::format("{}", report) ==
        "1 tensors loaded\n"
        "  2 missing in the file: b, c\n"
        "  1 unexpected in the file: d\n"
        "  1 of another shape: e (model [3, 4], file [])\n"
        "  1 dropped: f");
}
