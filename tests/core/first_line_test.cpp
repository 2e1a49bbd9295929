// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/core/first_line.hpp>

#include <catch2/catch_test_macros.hpp>

TEST_CASE("of a LibTorch error the first line is what people need") {
  CHECK(thaw::detail::first_line(c10::Error({__func__, __FILE__, 1}, "no such thing\nC++ stack")) == "no such thing");
  CHECK(thaw::detail::first_line(c10::Error({__func__, __FILE__, 1}, "short")) == "short");
}
