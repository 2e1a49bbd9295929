// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/groups/pattern.hpp>

#include <catch2/catch_test_macros.hpp>

using thaw::Pattern;

TEST_CASE("a pattern is a glob over the whole name, dots included") {
  CHECK(Pattern("layer*.weight").matches("layer1.0.conv1.weight"));
  CHECK(Pattern("bn?").matches("bn1"));
  CHECK_FALSE(Pattern("bn").matches("bn1"));
  CHECK(Pattern(std::string("fc.*")).text() == "fc.*");
}

TEST_CASE("a pattern may be any predicate") {
  const Pattern long_names("long", [](std::string_view name) { return name.size() > 4; });
  CHECK(long_names.matches("weight"));
  CHECK_FALSE(long_names.matches("bias"));
}
