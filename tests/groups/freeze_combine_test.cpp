// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/groups/freeze_combine.hpp>
#include <thaw/groups/gradual_unfreeze.hpp>

#include <catch2/catch_test_macros.hpp>
#include <concepts>
#include <random>
#include <string>
#include <vector>

#include "groups/check_policy.hpp"

using thaw::FreezeTo;
using thaw::FreezeWhere;
using thaw::Only;
using thaw::Unfrozen;
using thaw::until;
using thaw::test::frozen;
using thaw::test::names;

// Coins is no type of thaw's, so that its operators are not found by themselves.
using thaw::operator&&, thaw::operator||, thaw::operator!;

namespace {

/// Freezes by a table of coins, thrown anew for every epoch.
struct Coins {
  unsigned seed = 0;

  bool operator()(const thaw::GroupRef& group, const thaw::Progress& at) const {
    return std::minstd_rand(seed * 7919 + 31 * static_cast<unsigned>(at.epoch()) + 1 +
                            static_cast<unsigned>(group.index))() %
               2 ==
           0;
  }
};

template <class A, class B>
concept Combine = requires(const A& a, const B& b) { a&& b; };

}  // namespace

TEST_CASE("policies combine by &&, || and !") {
  const std::vector<std::string> groups{"stem", "layer1", "layer2", "head"};
  const auto of = [&](const thaw::AnyFreezePolicy& policy) { return frozen(policy, groups); };
  CHECK(of(FreezeTo{-1} && !FreezeWhere{"stem"}) == std::vector{false, true, true, false});
  CHECK(of(FreezeWhere{"stem"} || FreezeWhere{"head"}) == std::vector{true, false, false, true});
  CHECK(of(!Only{.groups = {0, -1}}) == std::vector{true, false, false, true});
  CHECK(of(!Unfrozen{}) == std::vector{true, true, true, true});
  CHECK(of(!FreezeTo{2} && (FreezeTo{3} || FreezeWhere{"head"})) == std::vector{false, false, true, true});
}

TEST_CASE("a lambda combines with a policy") {
  const auto first_two = [](const thaw::GroupRef& group, const thaw::Progress&) { return group.index <= 1; };
  CHECK(frozen(FreezeTo{-1} && first_two, names(4)) == std::vector{true, true, false, false});
  CHECK(frozen(first_two || FreezeWhere{"g3"}, names(4)) == std::vector{true, true, false, true});
  CHECK(frozen(until(1, first_two), names(3)) == std::vector{true, true, false});
}

TEST_CASE("until changes the policy when its epoch begins") {
  const auto at = [](const thaw::AnyFreezePolicy& policy, std::int64_t step) {
    return frozen(policy, names(3), {.step = step, .steps = 40, .steps_per_epoch = 10});
  };
  const auto policy = until(2, FreezeTo{-1});
  CHECK(at(policy, 0) == std::vector{true, true, false});
  CHECK(at(policy, 19) == std::vector{true, true, false});
  CHECK(at(policy, 20) == std::vector{false, false, false});
  const auto three = until(1, FreezeTo{-1}, until(3, FreezeTo{1}));
  CHECK(at(three, 9) == std::vector{true, true, false});
  CHECK(at(three, 10) == std::vector{true, false, false});
  CHECK(at(three, 29) == std::vector{true, false, false});
  CHECK(at(three, 30) == std::vector{false, false, false});
}

TEST_CASE("combined policies keep the laws of logic") {
  const auto groups = names(6);
  for (unsigned seed = 0; seed < 20; ++seed) {
    const Coins a{3 * seed}, b{3 * seed + 1}, c{3 * seed + 2};
    thaw::test::check_policy(until(1 + static_cast<int>(seed), a && b, !c), groups);
    for (const thaw::Progress at : thaw::steps(8)) {
      const auto of = [&](const thaw::AnyFreezePolicy& policy) { return frozen(policy, groups, at); };
      CHECK(of(!(a && b)) == of(!a || !b));  // de Morgan
      CHECK(of(!(a || b)) == of(!a && !b));
      CHECK(of(!!a) == of(a));
      CHECK(of(a && b) == of(b && a));
      CHECK(of(a || b) == of(b || a));
      CHECK(of(a && (b || c)) == of((a && b) || (a && c)));
      CHECK(of(a && (a || b)) == of(a));
      CHECK(of(a || Unfrozen{}) == of(a));
      CHECK(of(a && Unfrozen{}) == of(Unfrozen{}));
      CHECK(of(until(4, a, b)) == of(at.epoch() < 4 ? thaw::AnyFreezePolicy(a) : thaw::AnyFreezePolicy(b)));
    }
  }
}

TEST_CASE("combined policies pass the check on to their parts") {
  const auto groups = names(3);
  const auto refused = [&](const thaw::AnyFreezePolicy& policy) {
    try {
      policy.check(groups);
    } catch (const thaw::ConfigError&) {
      return true;
    }
    return false;
  };
  CHECK(refused(FreezeTo{5} && Unfrozen{}));
  CHECK(refused(Unfrozen{} && FreezeTo{5}));
  CHECK(refused(FreezeWhere{"stem"} || Unfrozen{}));
  CHECK(refused(Unfrozen{} || FreezeWhere{"stem"}));
  CHECK(refused(!Only{}));
  CHECK(refused(!!(Unfrozen{} && FreezeWhere{"stem"})));
  CHECK(refused(until(2, FreezeTo{5})));
  CHECK(refused(until(2, Unfrozen{}, FreezeTo{5})));
  CHECK(refused(until(0, FreezeTo{1})));
  CHECK_FALSE(refused(until(1, FreezeTo{1})));
  CHECK_FALSE(refused(thaw::FreezeUntil<FreezeTo, Unfrozen>{}));
  CHECK(refused(until(2, thaw::GradualUnfreeze{.every = thaw::Steps{0}})));
  CHECK_FALSE(refused(until(2, FreezeTo{-1} && !FreezeWhere{"g1"}, !Only{.groups = {0}} || Unfrozen{})));
}

TEST_CASE("only policies combine, and AnyFreezePolicy keeps its own !") {
  STATIC_CHECK(Combine<FreezeTo, Unfrozen>);
  STATIC_CHECK_FALSE(Combine<FreezeTo, thaw::AnyFreezePolicy>);
  STATIC_CHECK_FALSE(Combine<FreezeTo, int>);
  STATIC_CHECK(thaw::FreezePolicy<decltype(FreezeTo{1} && !Unfrozen{})>);
  STATIC_CHECK(std::same_as<decltype(!thaw::AnyFreezePolicy{}), bool>);
  STATIC_CHECK(std::same_as<decltype(thaw::AnyFreezePolicy{} && true), bool>);
}
