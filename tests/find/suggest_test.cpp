// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/find/suggest.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <limits>
#include <random>

#include "support/data.hpp"

using Catch::Matchers::WithinRel;
using thaw::test::json_fixture;

namespace {

using Suggest = std::optional<double> (*)(std::span<const double>, std::span<const double>);
const std::vector<std::pair<std::string, Suggest>> all{{"valley", thaw::suggest_valley},
                                                       {"slide", thaw::suggest_slide},
                                                       {"steep", thaw::suggest_steep},
                                                       {"minimum", thaw::suggest_minimum}};

}  // namespace

TEST_CASE("suggestions equal fastai's on whole curves") {
  const auto curves = json_fixture("find/lr_find.json")["curves"];
  for (const auto& [name, golden] : curves.items()) {
    const thaw::LRCurve curve{
        .lr = golden["lrs"], .loss = golden["raw"], .smoothed = golden["smoothed"], .planned = 100};
    for (const auto& [method, _] : all) {
      CAPTURE(name, method);
      CHECK_THAT(thaw::suggestion(curve, method).value(), WithinRel(golden["suggestions"][method].get<double>(), 1e-6));
    }
  }
}

TEST_CASE("suggestions equal fastai's on short curves, and are none where fastai raises") {
  const auto cases = json_fixture("find/lr_find.json")["short"];
  for (const auto& golden : cases)
    for (const auto& [method, suggest] : all) {
      CAPTURE(golden["n"].get<int>(), method);
      const std::vector<double> lr = golden["lrs"], loss = golden["losses"];
      const auto& expected = golden["suggestions"][method];
      const auto found = suggest(lr, loss);
      if (expected.contains("error"))
        CHECK_FALSE(found.has_value());
      else if (method == "valley" && golden["n"] == 2)
        CHECK(found == lr[0]);  // fastai's index is -1: the last one
      else
        CHECK_THAT(found.value(), WithinRel(expected["lr"].get<double>(), 1e-6));
    }
}

TEST_CASE("suggestions are none for an empty curve, and always one of the rates or a tenth of it") {
  for (const auto& [method, suggest] : all) CHECK_FALSE(suggest({}, {}).has_value());
  std::mt19937 random(1);
  std::normal_distribution<double> noise;
  for (int n = 1; n < 60; ++n) {
    std::vector<double> lr, loss;
    for (int i = 0; i < n; ++i) lr.push_back(1e-7 * std::pow(1.3, i)), loss.push_back(noise(random));
    for (const auto& [method, suggest] : all)
      if (const auto found = suggest(lr, loss)) {
        const double rate = method == "minimum" ? *found * 10 : *found;
        CAPTURE(n, method);
        CHECK(std::ranges::any_of(lr, [&](double x) { return std::abs(x - rate) < 1e-12 * x + 1e-18; }));
      }
  }
}

TEST_CASE("the window leaves out the first tenth, the last five, and all from the first NaN on") {
  thaw::LRCurve curve{
      .lr = std::vector(30, 1.0), .loss = std::vector(30, 1.0), .smoothed = std::vector(30, 1.0), .planned = 100};
  CHECK(thaw::suggestion_window(curve) == std::pair<std::size_t, std::size_t>{10, 15});
  curve.smoothed[14] = std::numeric_limits<double>::quiet_NaN();
  CHECK(thaw::suggestion_window(curve) == std::pair<std::size_t, std::size_t>{10, 4});
  curve.lr.resize(8), curve.smoothed.resize(8);
  CHECK(thaw::suggestion_window(curve).second == 0);
  CHECK(thaw::suggestions(curve).empty());
}

TEST_CASE("after a sweep that ended in NaN, suggestions equal fastai's, whose last five steps are NaN") {
  const auto golden = json_fixture("find/lr_find_nan.json");
  thaw::LRCurve curve{.lr = golden["lrs"], .smoothed = golden["smoothed"], .planned = golden["planned"]};
  REQUIRE(curve.lr.size() == 88);
  curve.lr.push_back(curve.lr.back() * 1.2);
  curve.smoothed.push_back(std::numeric_limits<double>::quiet_NaN());
  CHECK(thaw::suggestion_window(curve) == std::pair<std::size_t, std::size_t>{10, 78});
  for (const auto& [method, _] : all) {
    CAPTURE(method);
    CHECK_THAT(thaw::suggestion(curve, method).value(), WithinRel(golden["suggestions"][method].get<double>(), 1e-6));
  }
  // of a NaN in the last five steps, only as many are left out as are missing from the tail
  curve.planned = 90;
  CHECK(thaw::suggestion_window(curve) == std::pair<std::size_t, std::size_t>{9, 76});
  curve.smoothed.back() = std::numeric_limits<double>::infinity();  // where fastai stops, too
  CHECK(thaw::suggestion_window(curve) == std::pair<std::size_t, std::size_t>{9, 75});
}
