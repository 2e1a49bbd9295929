// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/report/detail/json.hpp>

#include <catch2/catch_test_macros.hpp>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "support/numbers.hpp"

using thaw::detail::json;
using thaw::detail::JsonObject;

TEST_CASE("strings come back as they were, whatever is in them") {
  std::string controls;
  for (char c = 0; c < 0x20; ++c) controls += c;
  for (const std::string& text : {std::string(), std::string("a \"b\" \\c/ \x7f"), controls,
                                  std::string("größe 学习率 \u0085 \uffff \U0001F600")})
    CHECK(nlohmann::json::parse(json(text)).get<std::string>() == text);
  CHECK(json("a\nb\"") == R"("a\u000ab\"")");
}

TEST_CASE("malformed UTF-8 is replaced, so that the line can be read") {
  CHECK(nlohmann::json::parse(json("a\xff\xc3(\xed\xa0\x80z")).get<std::string>() ==
        "a\xEF\xBF\xBD\xEF\xBF\xBD(\xEF\xBF\xBDz");
}

TEST_CASE("numbers keep all their digits; what is not finite or not there is null") {
  constexpr double most = std::numeric_limits<double>::max(), least = std::numeric_limits<double>::denorm_min();
  for (const double value : {0.0, -0.0, 0.1, 1.0, 1e-7, 1e22, 123456789.125, most, -most, least})
    CHECK(nlohmann::json::parse(json(value)).get<double>() == value);
  for (const double value : {thaw::test::not_a_number, thaw::test::infinite, -thaw::test::infinite})
    CHECK(json(value) == "null");
  CHECK(json(std::numeric_limits<std::int64_t>::min()) == "-9223372036854775808");
  CHECK(json(true) == "true");
  CHECK(json(std::optional<double>()) == "null");
  CHECK(json(std::optional(0.5)) == "0.5");
  CHECK(json(std::vector{1.0, thaw::test::not_a_number}) == "[1,null]");
  CHECK(json(std::vector<double>()) == "[]");
}

TEST_CASE("objects keep the order of their members, and the first of two with one name") {
  JsonObject object;
  CHECK(object.text() == "{}");
  object.add("b", 1).add("a\"", "x").add("b", 2).add("c", JsonObject().add("d", false));
  CHECK(object.text() == R"({"b":1,"a\"":"x","c":{"d":false}})");
  CHECK(json(std::vector{JsonObject(), JsonObject().add("e", 1)}) == R"([{},{"e":1}])");
}
