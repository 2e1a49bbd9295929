// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/find/before_rise.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <thaw/find/suggest.hpp>

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using Catch::Matchers::WithinAbs;
using thaw::suggest_before_rise;

namespace {

struct Swept {
  std::vector<double> lr, loss;
};

/// 100 rates from 1e-7 to 10; the loss is `shape(log10 of the rate)` and noise.
Swept swept(const std::function<double(double)>& shape, double noise, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  Swept c;
  for (int i = 0; i < 100; ++i) {
    const double exponent = -7 + 0.08 * i;
    c.lr.push_back(std::pow(10, exponent));
    c.loss.push_back(shape(exponent) + noise * normal(random));
  }
  return c;
}

/// As a network that was just thawed: flat, then a steep rise from 1e-3 on.
double flat_then_rising(double exponent) {
  return 0.3 + (exponent > -3 ? 2 * (exponent + 3) : 0);
}

/// As a new head: falls from 1e-4 on, is lowest at 1e-2, then rises.
double falling_then_rising(double exponent) {
  if (exponent < -4) return 2.3;
  return exponent < -2 ? 2.3 - 0.7 * (exponent + 4) : 0.9 + 3 * (exponent + 2);
}

}  // namespace

TEST_CASE("on a flat curve with noise, half the rate before the loss rises") {
  for (unsigned seed = 1; seed <= 50; ++seed) {
    CAPTURE(seed);
    const Swept c = swept(flat_then_rising, 0.05, seed);
    const auto found = suggest_before_rise(c.lr, c.loss);
    REQUIRE(found);
    CHECK(found->name == "before_rise");
    CHECK((2 * found->lr > 2.5e-4 && 2 * found->lr < 1.5e-3));  // at most 0.35, seven sigma, above the flat part
    CHECK((found->confidence > 0.9 && found->confidence < 1));
  }
}

TEST_CASE("on a curve that falls first, half the rate before it rises from its lowest point") {
  for (unsigned seed = 1; seed <= 50; ++seed) {
    CAPTURE(seed);
    const Swept c = swept(falling_then_rising, 0.05, seed);
    const auto found = suggest_before_rise(c.lr, c.loss);
    REQUIRE(found);
    CHECK((2 * found->lr > 5e-3 && 2 * found->lr < 3e-2));
  }
}

TEST_CASE("a curve that never rises suggests no rate: flat, falling, and noise alone") {
  for (unsigned seed = 1; seed <= 50; ++seed) {
    CAPTURE(seed);
    for (const auto& shape : {+[](double) { return 1.0; }, +[](double exponent) { return -exponent; }}) {
      const Swept c = swept(shape, 0.1, seed);
      CHECK_FALSE(suggest_before_rise(c.lr, c.loss));
    }
  }
}

TEST_CASE("two bad batches are no rise") {
  Swept c = swept([](double) { return 1.0; }, 0.01);
  c.loss[60] = c.loss[61] = 30;
  CHECK_FALSE(suggest_before_rise(c.lr, c.loss));
}

TEST_CASE("a loss that is not finite has risen") {
  for (const double end : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    Swept c = swept([](double) { return 1.0; }, 0.01);
    c.loss[70] = end;
    c.loss.resize(71);
    c.lr.resize(71);
    const auto found = suggest_before_rise(c.lr, c.loss);
    REQUIRE(found);
    CHECK(found->lr == c.lr[69] / 2);
    CHECK(found->confidence == 1);
  }
}

TEST_CASE("neither the loss's unit nor its zero matters") {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    Swept c = swept(flat_then_rising, 0.05, seed);
    const auto found = suggest_before_rise(c.lr, c.loss);
    for (double& loss : c.loss) loss = 4 * loss - 8;
    const auto other = suggest_before_rise(c.lr, c.loss);
    REQUIRE((found && other));
    CHECK(found->lr == other->lr);
    CHECK_THAT(other->confidence, WithinAbs(found->confidence, 1e-9));
  }
}

TEST_CASE("fewer than 20 losses say nothing") {
  Swept c = swept([](double exponent) { return exponent > -6 ? 9.0 : 0.0; }, 0);
  for (auto* values : {&c.lr, &c.loss}) values->resize(19);
  CHECK_FALSE(suggest_before_rise(c.lr, c.loss));
  CHECK_FALSE(suggest_before_rise({}, {}));
}

TEST_CASE("fastai's rules are trusted where the curve falls, and not at all where it is flat") {
  const auto of = [](const Swept& c) {
    return thaw::suggestions({.lr = c.lr, .loss = c.loss, .smoothed = c.loss, .planned = 100});
  };
  for (const thaw::Suggestion& each : of(swept(falling_then_rising, 0.05))) CHECK(each.confidence > 0.8);
  for (const thaw::Suggestion& each : of(swept(flat_then_rising, 0.05)))
    if (each.name == "before_rise")
      CHECK((each.recommended && each.confidence > 0.9));
    else
      CHECK((!each.recommended && each.confidence == 0));
}

TEST_CASE("what is recommended is before_rise, or nothing") {
  const Swept rises = swept(flat_then_rising, 0.05), flat = swept([](double) { return 1.0; }, 0.05);
  const thaw::LRCurve said{.lr = rises.lr, .loss = rises.loss, .smoothed = rises.loss, .planned = 100};
  REQUIRE(thaw::recommended(said));
  CHECK(thaw::recommended(said)->lr == suggest_before_rise(rises.lr, rises.loss)->lr);
  const thaw::LRCurve says_nothing{.lr = flat.lr, .loss = flat.loss, .smoothed = flat.loss, .planned = 100};
  CHECK_FALSE(thaw::recommended(says_nothing));
  CHECK(thaw::recommended_lr(said) == thaw::recommended(said)->lr);
  CHECK_THROWS_MATCHES(thaw::recommended_lr(says_nothing), thaw::ConfigError,
                       MessageMatches(ContainsSubstring("in 100 of 100 steps the loss never rose for good")));
}

TEST_CASE("held-out losses decide where there are some, however well the training set is learnt by heart") {
  const Swept falls = swept([](double exponent) { return -exponent; }, 0);
  thaw::LRCurve c{.lr = falls.lr, .loss = falls.loss, .smoothed = falls.loss, .planned = 100};
  CHECK_FALSE(thaw::recommended(c));
  c.held_out_lr = {0, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1};
  c.held_out = {2.0, 2.0, 1.5, 1.6, 1.7, 5.0};
  const auto found = thaw::recommended(c);
  REQUIRE(found);
  CHECK(found->lr == 1e-3 / 2);
  CHECK_THAT(found->confidence, WithinAbs(1 - 0.15 / 3.5, 1e-12));
}

TEST_CASE("a held-out loss that comes down again has not risen for good") {
  const std::vector<double> lr{0, 1e-5, 1e-4, 1e-3, 1e-2};
  CHECK(thaw::suggest_before_held_out_rise(lr, std::vector{1., 1., 2., 0.95, 9.}, false)->lr == 1e-3 / 2);
}

TEST_CASE("held-out losses that say nothing suggest nothing") {
  const std::vector<double> lr{0, 1e-5, 1e-4, 1e-3, 1e-2};
  const auto suggest = [&](const std::vector<double>& loss, bool ends_badly = false) {
    return thaw::suggest_before_held_out_rise(std::span(lr).first(loss.size()), loss, ends_badly);
  };
  CHECK_FALSE(suggest({1, 1, 1, 1, 1}));           // never rises
  CHECK_FALSE(suggest({1, 2, 2, 2, 2}));           // the lowest rate raises it
  CHECK_FALSE(suggest({1, 1, 1, 9}));              // too short
  CHECK(suggest({1, 1, 1, 1, 1}, true)->lr == 1e-2 / 2);  // the training loss exploded next
  CHECK(suggest({1, 1, 1, std::nan(""), std::nan("")})->lr == 1e-4 / 2);
  CHECK(suggest({1, 1, 1, std::nan(""), std::nan("")})->confidence == 1);
  CHECK(suggest({-1, -1, -2, -1.9, -1})->lr == 1e-3 / 2);  // losses below zero
}

TEST_CASE("a step that explodes ends what held-out losses say, however well they look later") {
  // A fresh decoder: its training loss is 30 at a rate of 1e-3, and a few steps later nothing is seen of it.
  const std::vector<double> lr{1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1};
  thaw::LRCurve c{.lr = lr, .loss = {4, 4, 3, 3, 2, 2, 30, 2, 2, 2, 9}, .planned = 11, .stopped_early = true};
  c.smoothed = c.loss;
  c.held_out_lr = {0, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 3e-3, 1e-2, 3e-2, 1e-1};
  c.held_out = {4, 3, 3, 2, 2, 1, 1, 1, 1, 9};
  CHECK(thaw::recommended(c)->lr == 3e-4 / 2);
  CHECK(thaw::suggest_edge(c)->lr == 3e-4 / 3);

  SECTION("but a loss no higher than four times the lowest held-out one, or twice those before it, does not") {
    const double high = GENERATE(4.0, 3.9);
    c.loss[6] = high;
    CHECK(thaw::recommended(c)->lr == 3e-2 / 2);
    CHECK(thaw::suggest_edge(c)->lr == 3e-2 / 3);
  }
  SECTION("nor a training loss that is higher than the held-out one all along, as by MixUp") {
    for (double& each : c.loss) each = 30;
    CHECK(thaw::recommended(c)->lr == 3e-2 / 2);
    CHECK(thaw::suggest_edge(c)->lr == 3e-2 / 3);
  }
}

TEST_CASE("the edge is a third of the last rate at which the held-out loss is less than twice its lowest") {
  thaw::LRCurve curve{.held_out_lr = {0, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1}, .held_out = {1.0, 0.9, 0.8, 1.4, 1.7, 9.0}};
  CHECK(thaw::suggest_edge(curve)->lr == 1e-3 / 3);
  CHECK(thaw::suggest_edge(curve)->name == "edge");
  curve.held_out = {1.0, 0.9, 0.8, 5.0, 1.5, 9.0};  // one bad look, and then it is back
  CHECK(thaw::suggest_edge(curve)->lr == 1e-2 / 3);
  curve.held_out = {1.0, 0.9, 0.8, 1.4, 1.5, std::nan("")};
  CHECK(thaw::suggest_edge(curve)->lr == 1e-2 / 3);
  curve.held_out = {-1.0, -1.1, -1.2, -0.9, -0.1, 3.0};  // below zero it is as far above the lowest
  CHECK(thaw::suggest_edge(curve)->lr == 1e-2 / 3);

  curve.held_out = {1.0, 0.9, 0.8, 0.8, 0.8, 0.9};
  CHECK_FALSE(thaw::suggest_edge(curve));
  curve.stopped_early = true;  // the training loss was not finite
  CHECK(thaw::suggest_edge(curve)->lr == 1e-1 / 3);
  curve.held_out = {1.0, 2.1, 2.2, 2.3, 2.4, 9.0};
  CHECK_FALSE(thaw::suggest_edge(curve));
  CHECK_FALSE(thaw::suggest_edge({.lr = {1e-3}, .loss = {1.0}}));
}
