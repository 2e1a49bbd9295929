#include <thaw/groups/rates.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <cmath>

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

TEST_CASE("rates that do not fit the groups are refused, with both numbers") {
  CHECK_THROWS_AS(DiscriminativeLR::each({1e-5, 1e-4})(3), thaw::ConfigError);
  try {
    (void)DiscriminativeLR::each({1e-5, 1e-4})(3);
  } catch (const thaw::ConfigError& error) {
    CHECK(error.problem() == "2 rates for 3 layer groups");
  }
  CHECK_THROWS_AS(DiscriminativeLR(-1.0)(2), thaw::ConfigError);
  CHECK_THROWS_AS(DiscriminativeLR(std::nan(""))(2), thaw::ConfigError);
  CHECK_THROWS_AS(DiscriminativeLR::slice(0, 1e-3)(3), thaw::ConfigError);
  CHECK(DiscriminativeLR::each({0, 1e-3})(2) == std::vector<double>{0, 1e-3});
}
