// SPDX-License-Identifier: BSD-3-Clause
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
        "  of another shape: 1 (e (model [3, 4], file []))\n"
        "  missing in the file: 2 (b, c)\n"
        "  unexpected in the file: 1 (d)\n"
        "  dropped: 1 (f)");
}

TEST_CASE("A report says batch counts that a file is too old to have in one line, the last") {
  const thaw::LoadReport report{.loaded = {"a"}, .missing = {"n.num_batches_tracked", "b", "m.num_batches_tracked"}};
  CHECK(report.to_string() ==
        "tensors loaded: 1\n"
        "  missing in the file: 1 (b)\n"
        "  batch counts (num_batches_tracked) missing in the file, which does no harm: 2");
}
