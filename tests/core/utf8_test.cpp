// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/core/utf8.hpp>

#include <catch2/catch_test_macros.hpp>
#include <string_view>

TEST_CASE("UTF-8 has no overlong forms, no surrogates, and ends at U+10FFFF") {
  for (const std::string_view good : {"", "a", "\xC3\xA9", "\xE2\x98\x83", "\xF0\x9F\x98\x80", "\xF4\x8F\xBF\xBF"})
    CHECK(thaw::is_utf8(good));
  for (const std::string_view bad : {"\xE9", "a\x80", "\xC3", "\xC0\xAF", "\xE0\x80\xAF", "\xED\xA0\x80",
                                     "\xF4\x90\x80\x80", "\xE2\x98", "\xC3\x41", "\xF0\x80\x80\xAF", "\xFF"})
    CHECK_FALSE(thaw::is_utf8(bad));
}
