// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/report/detail/utf8.hpp>

#include <catch2/catch_test_macros.hpp>

using thaw::detail::display_width;
using thaw::detail::shortened;

namespace {

const std::string bad = "\xEF\xBF\xBD";

std::string shown(std::string_view text) {
  return shortened(text, 100);
}

}  // namespace

TEST_CASE("text is counted and cut by characters, not bytes") {
  CHECK(display_width("größe") == 5);
  CHECK(display_width("学习率") == 3);
  CHECK(display_width("") == 0);
  CHECK(shortened("größer", 6) == "größer");
  CHECK(shortened("größer", 5) == "grö..");
  CHECK(shortened("größer", 1) == ".");
  CHECK(shortened("größer", 0) == "");
}

TEST_CASE("well-formed characters of every length pass, up to the last code point") {
  for (const std::string text : {"a", "~", "\u00A0", "\u07FF", "\u0800", "\uFFFD", "\U00010000", "\U0010FFFD"})
    CHECK(shown(text) == text);
}

TEST_CASE("control characters are replaced") {
  CHECK(shown("a\nb") == "a" + bad + "b");
  CHECK(shown("\x1b[31m") == bad + "[31m");
  CHECK(shown("\x7F") == bad);
  CHECK(shown("\u0085") == bad);
  CHECK(shown(std::string_view("\0", 1)) == bad);
}

TEST_CASE("malformed UTF-8 is replaced, and what follows is kept") {
  CHECK(shown("\xC3x") == bad + "x");            // a lead byte without its second
  CHECK(shown("x\xE2\x82") == "x" + bad + bad);  // cut off
  CHECK(shown(std::string_view("\xE2\x82\xAC", 2)) == bad + bad);
  CHECK(shown("\x80x") == bad + "x");          // a continuation alone
  CHECK(shown("\xC0\xAF") == bad + bad);       // overlong in two
  CHECK(shown("\xE0\x80\xAFx") == bad + "x");  // overlong in three
  CHECK(shown("\xE0\x9F\xBFx") == bad + "x");
  CHECK(shown("\xF0\x8F\xBF\xBDx") == bad + "x");  // and in four
  CHECK(shown("\xED\xA0\x80x") == bad + "x");      // a surrogate
  CHECK(shown("\xF4\x90\x80\x80x") == bad + "x");  // beyond U+10FFFF
  CHECK(shown("\xEF\xBF\xBFx") == bad + "x");      // U+FFFF
  CHECK(shown("\xFFx") == bad + "x");
}

TEST_CASE("a character is taken with its number, control characters too") {
  std::string_view rest = "a\u0085\U0001F600\xFF";
  const auto next = [&] { return thaw::detail::take_character(rest).code; };
  CHECK(next() == 0x61U);
  CHECK(next() == 0x85U);
  CHECK(next() == 0x1F600U);
  CHECK(next() == std::nullopt);
  CHECK(rest.empty());
}
