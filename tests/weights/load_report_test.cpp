#include <fmt/format.h>

#include <catch2/catch_test_macros.hpp>
#include <thaw/weights/load_report.hpp>

TEST_CASE("A report of a full load is one line") {
  CHECK(thaw::LoadReport{.loaded = {"a", "b"}}.to_string() == "tensors loaded: 2");
}

TEST_CASE("A report names every tensor that was not loaded") {
  const thaw::LoadReport report{
      .loaded = {"a"}, .missing = {"b", "c"}, .unexpected = {"d"}, .mismatched = {{"e", {3, 4}, {}}}, .dropped = {"f"}};
  CHECK(fmt::format("{}", report) ==
        "tensors loaded: 1\n"
        "  missing in the file: 2 (b, c)\n"
        "  unexpected in the file: 1 (d)\n"
        "  of another shape: 1 (e (model [3, 4], file []))\n"
        "  dropped: 1 (f)");
}
