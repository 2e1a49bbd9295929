// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/groups/rates.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <cmath>
#include <concepts>
#include <string>
#include <vector>

#include "support/data.hpp"

using Catch::Matchers::WithinRel;
using thaw::DiscriminativeLR;

namespace {

void check_rates(const std::vector<double>& found, const nlohmann::json& expected) {
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) CHECK_THAT(found[i], WithinRel(expected[i].get<double>(), 1e-12));
}

}  // namespace

TEST_CASE("even_mults equals fastai's") {
  const auto fixture = thaw::test::json_fixture("groups/rates.json");
  for (const auto& golden : fixture["even_mults"]) {
    const auto values = golden["values"].is_array() ? golden["values"] : nlohmann::json::array({golden["values"]});
    check_rates(thaw::even_mults(golden["start"], golden["stop"], golden["n"]), values);
  }
}

TEST_CASE("slices, numbers and lists equal fastai's") {
  const std::vector<std::pair<std::string, DiscriminativeLR>> written{
      {"slice(None, 0.0001, None)", DiscriminativeLR::slice(1e-4)},
      {"slice(1e-06, 0.0001, None)", DiscriminativeLR::slice(1e-6, 1e-4)},
      {"slice(1e-05, 0.001, None)", DiscriminativeLR::slice(1e-5, 1e-3)},
      {"0.001", 1e-3},
      {"[1e-05, 0.0001, 0.001]", DiscriminativeLR::each({1e-5, 1e-4, 1e-3})}};
  int checked = 0;
  const auto fixture = thaw::test::json_fixture("groups/rates.json");
  for (const auto& golden : fixture["set_hyper"])
    for (const auto& [text, rates] : written)
      if (golden["value"] == text) check_rates(rates(golden["n_groups"]), golden["lrs"]), ++checked;
  CHECK(checked == 9);
}

TEST_CASE("layer_decay equals timm's scales") {
  const auto fixture = thaw::test::json_fixture("groups/timm_layer_decay.json");
  int checked = 0;
  for (const auto& [name, run] : fixture.items()) {
    if (name == "_about") continue;
    CAPTURE(name);
    const auto& kwargs = run["kwargs"];
    const auto rates = DiscriminativeLR::layer_decay(1, kwargs["layer_decay"], kwargs.value("min_scale", 0.0));
    check_rates(rates(run["lr_scale"].size()), run["lr_scale"]);
    ++checked;
  }
  CHECK(checked == 3);
}

TEST_CASE("decay divides by the factor from each group to the one before it") {
  check_rates(DiscriminativeLR::decay(0.01)(3), {0.01 / 2.6 / 2.6, 0.01 / 2.6, 0.01});
  check_rates(DiscriminativeLR::decay(0.01, 10)(1), {0.01});
  check_rates(DiscriminativeLR::decay(0.01, 4)(5), DiscriminativeLR::layer_decay(0.01, 0.25)(5));
  check_rates(DiscriminativeLR::layer_decay(1, 0.5)(3), {0.25, 0.5, 1});
}

TEST_CASE("head_body gives the head its rate and the body a fraction of it") {
  check_rates(DiscriminativeLR::head_body(1e-2, 0.25)(4), {0.25e-2, 0.25e-2, 0.25e-2, 1e-2});
  check_rates(DiscriminativeLR::head_body(1e-2)(3), DiscriminativeLR::slice(1e-2)(3));
  check_rates(DiscriminativeLR::head_body(1e-2)(1), {1e-2});
}

TEST_CASE("a lambda of the number of groups gives rates, and is held to the same rules") {
  const DiscriminativeLR rates = [](std::size_t groups) {
    std::vector<double> lr(groups, 1e-4);
    lr.front() = 1e-2;
    return lr;
  };
  check_rates(rates(3), {1e-2, 1e-4, 1e-4});
  const DiscriminativeLR copy = rates;
  check_rates(copy(2), {1e-2, 1e-4});
  CHECK_THROWS_AS(DiscriminativeLR([](std::size_t) { return std::vector{1.0}; })(2), thaw::ConfigError);
  CHECK_THROWS_AS(DiscriminativeLR([](std::size_t n) { return std::vector(n, -1.0); })(2), thaw::ConfigError);
  STATIC_CHECK(std::convertible_to<double, DiscriminativeLR>);
  STATIC_CHECK(std::convertible_to<int, DiscriminativeLR>);
  STATIC_CHECK_FALSE(std::convertible_to<std::vector<double>, DiscriminativeLR>);
  STATIC_CHECK_FALSE(std::convertible_to<decltype([](std::size_t) { return 1e-3; }), DiscriminativeLR>);
  STATIC_CHECK_FALSE(std::convertible_to<decltype([](std::string) { return std::vector{1e-3}; }), DiscriminativeLR>);
}

TEST_CASE("rates that do not fit the groups are refused, with both numbers") {
  CHECK_THROWS_AS(DiscriminativeLR::each({1e-5, 1e-4})(3), thaw::ConfigError);
  try {
    (void)DiscriminativeLR::each({1e-5, 1e-4})(3);
  } catch (const thaw::ConfigError& error) {
    CHECK(error.problem() == "2 rates for 3 layer groups");
  }
  CHECK_THROWS_AS(DiscriminativeLR(-1.0)(2), thaw::ConfigError);
  CHECK_THROWS_AS(DiscriminativeLR(std::nan(""))(2), thaw::ConfigError);
  CHECK_THROWS_AS(DiscriminativeLR::each({-1, 1})(2), thaw::ConfigError);
  CHECK_THROWS_AS(DiscriminativeLR::each({1, -1})(2), thaw::ConfigError);
  CHECK_THROWS_AS(DiscriminativeLR::slice(0, 1e-3)(3), thaw::ConfigError);
  CHECK_THROWS_AS(DiscriminativeLR::decay(std::nan(""))(2), thaw::ConfigError);
  CHECK(DiscriminativeLR::each({0, 1e-3})(2) == std::vector<double>{0, 1e-3});
}

TEST_CASE("slices and decays refuse numbers that make no sense at once, and say which") {
  for (const double bad : {0.0, -1e-3, std::nan(""), HUGE_VAL}) {
    CHECK_THROWS_AS(DiscriminativeLR::slice(bad), thaw::ConfigError);
    CHECK_THROWS_AS(DiscriminativeLR::slice(bad, 1e-3), thaw::ConfigError);
    CHECK_THROWS_AS(DiscriminativeLR::slice(1e-3, bad), thaw::ConfigError);
    CHECK_THROWS_AS(DiscriminativeLR::decay(1e-3, bad), thaw::ConfigError);
    CHECK_THROWS_AS(DiscriminativeLR::layer_decay(1e-3, bad), thaw::ConfigError);
  }
  CHECK_THROWS_AS(DiscriminativeLR::layer_decay(1e-3, 0.75, 1.5), thaw::ConfigError);
  CHECK_NOTHROW(DiscriminativeLR::layer_decay(1e-3, 0.75, 1));
  CHECK_THROWS_AS(DiscriminativeLR::layer_decay(1e-3, 0.75, -0.5), thaw::ConfigError);
  try {
    (void)DiscriminativeLR::slice(0, 1e-3);
  } catch (const thaw::ConfigError& error) {
    CHECK(error.where() == "DiscriminativeLR::slice");
  }
}
