// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/schedule/anneal.hpp>
#include <thaw/schedule/schedule.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>

#include "support/data.hpp"

using Catch::Matchers::WithinRel;

TEST_CASE("annealers equal fastai's") {
  const auto golden = thaw::test::json_fixture("schedule/one_cycle.json")["annealers"];
  const auto check = [&](const char* name, auto anneal) {
    CAPTURE(name);
    const auto& run = golden[name];
    for (std::size_t i = 0; i < run["pos"].size(); ++i)
      CHECK_THAT(anneal(run["start"].get<double>(), run["end"].get<double>(), run["pos"][i].get<double>()),
                 WithinRel(run["values"][i].get<double>(), 1e-12));
  };
  check("lin", thaw::anneal_linear);
  check("cos", thaw::anneal_cosine);
  check("exp", thaw::anneal_exponential);
  check("no", [](double start, double, double p) { return start * thaw::Constant{}(p); });
  check("poly2", [](double start, double end, double p) { return thaw::anneal_polynomial(start, end, p, 2); });
  check("poly_half", [](double start, double end, double p) { return thaw::anneal_polynomial(start, end, p, 0.5); });
}

TEST_CASE("a shape picks its annealer") {
  CHECK(thaw::anneal(thaw::Anneal::linear, 0, 1, 0.25) == thaw::anneal_linear(0, 1, 0.25));
  CHECK(thaw::anneal(thaw::Anneal::cosine, 0, 1, 0.25) == thaw::anneal_cosine(0, 1, 0.25));
  CHECK(thaw::anneal_cosine(0, 1, 0.25) != thaw::anneal_linear(0, 1, 0.25));
}
