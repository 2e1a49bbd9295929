// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch_test_macros.hpp>
#include <thaw/core/glob.hpp>

TEST_CASE("Globs match whole names") {
  using thaw::glob_match;
  CHECK(glob_match("fc.*", "fc.weight"));
  CHECK(glob_match("*", ""));
  CHECK(glob_match("*.bias", "a.b.bias"));
  CHECK(glob_match("a?c*e", "abcde"));
  CHECK(glob_match("*a*b*", "xxaxxbxx"));
  CHECK_FALSE(glob_match("fc", "fc.weight"));
  CHECK_FALSE(glob_match("fc.*", "xfc.weight"));
  CHECK_FALSE(glob_match("a?", "a"));
  CHECK_FALSE(glob_match("", "a"));
}
