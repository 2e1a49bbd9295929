// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/schedule/chain.hpp>
#include <thaw/schedule/decay.hpp>
#include <thaw/schedule/one_cycle.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "schedule/check_schedule.hpp"

using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;
using thaw::chain;

namespace {

thaw::ScheduleValue falling(double t) {
  return {1 - t, 0.9 * t};
}

}  // namespace

TEST_CASE("a chain of two anneals equals fastai's combined cosines, and OneCycle") {
  const auto golden = thaw::test::json_fixture("schedule/one_cycle.json")["fastai"];
  for (const auto& [name, run] : golden.items()) {
    CAPTURE(name);
    const double pct = run["pct_start"], div = run["div"], div_final = run["div_final"], peak = run["lr_max"];
    const auto cosine = [](double lr, double lr_end, double momentum, double momentum_end) {
      return [=](double t) {
        return thaw::ScheduleValue{thaw::anneal_cosine(lr, lr_end, t), thaw::anneal_cosine(momentum, momentum_end, t)};
      };
    };
    const thaw::Chain two =
        chain({{pct, cosine(1 / div, 1, 0.95, 0.85)}, {1 - pct, cosine(1, 1 / div_final, 0.85, 0.95)}});
    const thaw::OneCycle cycle{.pct_start = pct, .div = div, .div_final = div_final};
    for (const thaw::Progress at : thaw::steps(run["n"])) {
      const auto i = static_cast<std::size_t>(at.step);
      // fastai keeps its phase limits in float32
      CHECK_THAT(peak * two(at).lr, WithinRel(run["lr"][i].get<double>(), 1e-5));
      CHECK_THAT(two(at).momentum.value(), WithinRel(run["mom"][i].get<double>(), 1e-5));
      CHECK_THAT(two(at).lr, WithinRel(cycle(at.t()).lr, 1e-12));
      CHECK_THAT(two(at).momentum.value(), WithinRel(cycle(at.t()).momentum.value(), 1e-12));
    }
  }
}

TEST_CASE("each part sees its own t, exactly, and its own steps, each once") {
  std::vector<thaw::Progress> first, second;
  const auto record = [](std::vector<thaw::Progress>& seen) {
    return [&seen](const thaw::Progress& at) {
      seen.push_back(at);
      return 1.0;
    };
  };
  const thaw::Chain both = chain({{0.25, record(first)}, {0.75, record(second)}});
  for (const std::int64_t total : {8, 10, 97, 1000}) {
    first.clear(), second.clear();
    for (const thaw::Progress at : thaw::steps(total, 3)) (void)both(at);
    CAPTURE(total, first.size(), second.size());
    for (const auto* part : {&first, &second})
      for (std::size_t i = 0; i < part->size(); ++i) {
        CHECK((*part)[i].step == static_cast<std::int64_t>(i));
        CHECK((*part)[i].steps == static_cast<std::int64_t>(part->size()));
        CHECK((*part)[i].steps_per_epoch == 3);
      }
    CHECK(std::abs(static_cast<double>(first.size()) - 0.25 * static_cast<double>(total)) < 1);
  }
  const thaw::Chain exact = chain({{0.25, [](double t) { return t; }}, {0.75, [](double t) { return t; }}});
  CHECK_THAT(exact({.step = 1, .steps = 10}).lr, WithinRel(0.4, 1e-15));
  CHECK_THAT(exact({.step = 4, .steps = 10}).lr, WithinRel(0.2, 1e-15));
}

TEST_CASE("a boundary on a step belongs to the next part, whatever the rounding of its sum") {
  const thaw::Chain parts = chain({{0.1, [](double) { return 0.1; }},
                                   {0.2, [](double) { return 0.2; }},  // ends at 0.30000000000000004
                                   {0.7, [](double t) { return 0.7 + 0.1 * t; }}});
  CHECK(parts({.step = 0, .steps = 10}).lr == 0.1);
  CHECK(parts({.step = 1, .steps = 10}).lr == 0.2);
  CHECK(parts({.step = 2, .steps = 10}).lr == 0.2);
  CHECK(parts({.step = 3, .steps = 10}).lr == 0.7);
}

TEST_CASE("a chain within a chain is a chain") {
  const thaw::Chain flat = chain({{0.25, falling}, {0.25, thaw::OneCycle{}}, {0.5, falling}});
  const thaw::Chain nested = chain({{0.5, chain({{0.5, falling}, {0.5, thaw::OneCycle{}}})}, {0.5, falling}});
  for (const std::int64_t total : {7, 64, 101})
    for (const thaw::Progress at : thaw::steps(total)) {
      CHECK_THAT(nested(at).lr, WithinAbs(flat(at).lr, 1e-12));
      CHECK_THAT(nested(at).momentum.value(), WithinAbs(flat(at).momentum.value(), 1e-12));
    }
  const thaw::Chain whole = chain({{1, falling}});
  for (const thaw::Progress at : thaw::steps(9)) CHECK(whole(at).lr == falling(at.t()).lr);
}

TEST_CASE("chains are sound for any fractions and number of steps") {
  std::mt19937 random(5);
  std::uniform_real_distribution<double> share(0.01, 1);
  for (int i = 0; i < 10; ++i) {
    std::vector<thaw::ChainPart> parts;
    double sum = 0;
    for (int k = 0; k <= i; ++k) {
      const double fraction = share(random);
      sum += fraction;
      if (k % 2 == 0)
        parts.push_back({fraction, thaw::OneCycle{}});
      else
        parts.push_back({fraction, thaw::TorchOneCycle{}});
    }
    for (thaw::ChainPart& part : parts) part.fraction /= sum;
    thaw::test::check_schedule(chain(parts));
  }
  thaw::test::check_continuous(chain({{0.3, thaw::LinearDecay{.end = 0.5}}, {0.7, [](double t) { return (1 - t) / 2; }}}),
                               1.7);
}

TEST_CASE("a chain refuses fractions that do not sum to 1, and what its parts refuse") {
  CHECK_THROWS_AS(chain({}), thaw::ConfigError);
  CHECK_THROWS_AS(chain({{0.3, falling}, {0.6, falling}}), thaw::ConfigError);
  CHECK_THROWS_AS(chain({{-0.5, falling}, {1.5, falling}}), thaw::ConfigError);
  CHECK_THROWS_AS(chain({{0, falling}, {1, falling}}), thaw::ConfigError);
  CHECK_THROWS_AS(chain({{std::nan(""), falling}}), thaw::ConfigError);
  CHECK_THROWS_AS(chain({{1, thaw::OneCycle{.div = -1}}}), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::Chain{}.check(), thaw::ConfigError);
  CHECK_NOTHROW(chain({{0.1, falling}, {0.2, falling}, {0.7, falling}}));
}

TEST_CASE("a chain is in its last part up to the end, whatever its fractions sum to") {
  const auto position = [](double t) { return t; };
  const thaw::Progress last{.step = 9, .steps = 10};
  CHECK(chain({{.schedule = position}})({.step = 5, .steps = 10}).lr == 0.5);
  CHECK(chain({{1 - 9e-10, position}})({.step = 5, .steps = 10}).lr == 0.5);
  const thaw::Chain less = chain({{0.5, position}, {0.5 - 9e-10, position}});
  CHECK_THAT(less(last, 1 - 1e-10).lr, WithinAbs(1 - 2e-10, 1e-13));
  CHECK(less(last, 1).lr < 1);
}

TEST_CASE("a part in which no step falls has one") {
  thaw::Progress seen;
  const thaw::Chain parts = chain({{0.25, falling},
                                   {0.01,
                                    [&](const thaw::Progress& at) {
                                      seen = at;
                                      return 1.0;
                                    }},
                                   {0.74, falling}});
  for (const std::int64_t step : {2, 3, 9}) {
    (void)parts({.step = step, .steps = 10}, 0.255);
    CHECK(seen.step == 0);
    CHECK(seen.steps == 1);
  }
}
