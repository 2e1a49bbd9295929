// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/groups/regex.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using Catch::Matchers::ContainsSubstring;

TEST_CASE("a regular expression must match the whole name") {
  const thaw::Pattern body = thaw::regex("layer[1-4]\\..*");
  CHECK(body.matches("layer3.0.weight"));
  CHECK_FALSE(body.matches("layer5.0.weight"));
  CHECK_FALSE(body.matches("my.layer3.0.weight"));
  CHECK(body.text() == "regex(layer[1-4]\\..*)");
}

TEST_CASE("what is no regular expression is an error that shows it") {
  CHECK_THROWS_WITH(thaw::regex("layer[1-"), ContainsSubstring("\"layer[1-\" is no regular expression"));
}
