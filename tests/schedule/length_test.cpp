// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/schedule/length.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <limits>

using Catch::Matchers::ContainsSubstring;

TEST_CASE("a length is so many steps of a stage, in whichever unit it was given") {
  const thaw::Progress stage{.step = 7, .steps = 40, .steps_per_epoch = 10};
  CHECK(thaw::steps_of(thaw::Epochs{1.5}, stage) == 15);
  CHECK(thaw::steps_of(thaw::Steps{15}, stage) == 15);
  CHECK(thaw::steps_of(thaw::Fraction{0.375}, stage) == 15);
}

TEST_CASE("a length that is none is refused, by its unit") {
  const auto check = [](const thaw::Length& length) { thaw::detail::check_length("here", length); };
  CHECK_NOTHROW(check(thaw::Fraction{1}));
  CHECK_THROWS_WITH(check(thaw::Epochs{0}), ContainsSubstring("here") && ContainsSubstring("Epochs is 0"));
  CHECK_THROWS_WITH(check(thaw::Steps{-3}), ContainsSubstring("Steps is -3"));
  CHECK_THROWS_WITH(check(thaw::Fraction{1.5}), ContainsSubstring("Fraction is 1.5"));
  CHECK_THROWS_AS(check(thaw::Epochs{std::numeric_limits<double>::infinity()}), thaw::ConfigError);
}
