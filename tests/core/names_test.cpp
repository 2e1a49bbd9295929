// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch_test_macros.hpp>
#include <thaw/core/names.hpp>

using Names = std::vector<std::string>;

TEST_CASE("edit distance counts insertions, deletions and replacements") {
  CHECK(thaw::edit_distance("", "") == 0);
  CHECK(thaw::edit_distance("", "abc") == 3);
  CHECK(thaw::edit_distance("kitten", "sitting") == 3);
  CHECK(thaw::edit_distance("blocks.5", "_blocks.5") == 1);
}

TEST_CASE("the nearest name wins, the first of equals, none of none") {
  CHECK(thaw::nearest_name("hed", Names{"stem", "head", "body"}) == "head");
  CHECK(thaw::nearest_name("x", Names{"a", "b"}) == "a");
  CHECK(thaw::nearest_name("x", Names{}).empty());
}

TEST_CASE("long lists of names are cut, and say so") {
  CHECK(thaw::join_names(Names{"a", "b"}) == "a, b");
  CHECK(thaw::join_names(Names{"a", "b", "c", "d"}, 2) == "a, b, ... (2 more)");
  CHECK(thaw::join_names(Names{}).empty());
}
