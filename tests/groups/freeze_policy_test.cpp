// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/groups/freeze_policy.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <span>
#include <string>
#include <vector>

#include "groups/check_policy.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::test::names;

namespace {

std::vector<bool> frozen(const thaw::AnyFreezePolicy& policy, std::size_t count) {
  return thaw::test::frozen(policy, names(count));
}

}  // namespace

TEST_CASE("FreezeTo freezes the first n groups; negative numbers count from the end") {
  CHECK(frozen(thaw::FreezeTo{0}, 3) == std::vector{false, false, false});
  CHECK(frozen(thaw::FreezeTo{2}, 3) == std::vector{true, true, false});
  CHECK(frozen(thaw::FreezeTo{-1}, 3) == std::vector{true, true, false});
  CHECK(frozen(thaw::FreezeTo{}, 3) == std::vector{true, true, false});
  CHECK(frozen(thaw::FreezeTo{-2}, 3) == std::vector{true, false, false});
  CHECK(frozen(thaw::Unfrozen{}, 2) == std::vector{false, false});
}

TEST_CASE("trap 11: FreezeTo refuses what would freeze nothing, or everything, in silence") {
  CHECK_THROWS_AS(thaw::FreezeTo{-1}.check(1), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::FreezeTo{3}.check(3), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::FreezeTo{5}.check(3), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::FreezeTo{-4}.check(3), thaw::ConfigError);
  CHECK_NOTHROW(thaw::FreezeTo{0}.check(1));
  CHECK_NOTHROW(thaw::FreezeTo{-3}.check(3));
  CHECK_NOTHROW(thaw::FreezeTo{-1}.check(3));
  CHECK_THROWS_WITH(thaw::FreezeTo{3}.check(3), ContainsSubstring("from -3 to 2"));
}

TEST_CASE("a lambda is a freeze policy, and sees names and progress") {
  const thaw::AnyFreezePolicy policy = [](const thaw::GroupRef& group, const thaw::Progress& at) {
    return group.name == "stem" && at.epoch() < 2;
  };
  CHECK(policy({.index = 0, .count = 2, .name = "stem"}, {.step = 1}));
  CHECK_FALSE(policy({.index = 0, .count = 2, .name = "stem"}, {.step = 2}));
  CHECK_FALSE(policy({.index = 1, .count = 2, .name = "head"}, {.step = 1}));
}

TEST_CASE("the concept tells freeze policies from other things") {
  STATIC_CHECK(thaw::FreezePolicy<thaw::FreezeTo>);
  STATIC_CHECK(thaw::FreezePolicy<thaw::Unfrozen>);
  STATIC_CHECK(thaw::FreezePolicy<thaw::Only>);
  STATIC_CHECK(thaw::FreezePolicy<thaw::FreezeWhere>);
  STATIC_CHECK(thaw::FreezePolicy<thaw::AnyFreezePolicy>);
  STATIC_CHECK_FALSE(thaw::FreezePolicy<int>);
  STATIC_CHECK_FALSE(thaw::FreezePolicy<decltype([](const thaw::GroupRef&) { return true; })>);
  STATIC_CHECK_FALSE(
      thaw::FreezePolicy<decltype([](const thaw::GroupRef&, const thaw::Progress&) { return std::string(); })>);
}

TEST_CASE("Only trains the groups that it names; negative numbers count from the end") {
  CHECK(frozen(thaw::Only{.groups = {0, -1}}, 4) == std::vector{false, true, true, false});
  CHECK(frozen(thaw::Only{.groups = {1}}, 3) == std::vector{true, false, true});
  CHECK(frozen(thaw::Only{.groups = {-2, -2}}, 3) == std::vector{true, false, true});
  for (int n = -4; n < 4; ++n) thaw::test::check_policy(thaw::Only{.groups = {n}}, names(4));
}

TEST_CASE("Only refuses groups that are not there, and none") {
  CHECK_THROWS_AS(thaw::Only{}.check(3), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::Only{.groups = {3}}.check(3), thaw::ConfigError);
  CHECK_THROWS_AS((thaw::Only{.groups = {0, -4}}.check(3)), thaw::ConfigError);
  CHECK_NOTHROW(thaw::Only{.groups = {0, 2, -3}}.check(3));
  CHECK_THROWS_WITH(thaw::Only{.groups = {7}}.check(3),
                    ContainsSubstring("group 7 of 3") && ContainsSubstring("from -3 to 2"));
}

TEST_CASE("FreezeWhere freezes the groups whose name matches") {
  const std::vector<std::string> groups{"conv1", "layer1", "layer2.0", "fc"};
  const auto where = [&](const char* glob) { return thaw::test::frozen(thaw::FreezeWhere{glob}, groups); };
  CHECK(where("layer*") == std::vector{false, true, true, false});
  CHECK(where("layer?") == std::vector{false, true, false, false});
  CHECK(where("fc") == std::vector{false, false, false, true});
  CHECK(where("*") == std::vector{true, true, true, true});
  thaw::test::check_policy(thaw::FreezeWhere{"layer*"}, groups);
}

TEST_CASE("FreezeWhere refuses a glob that matches no group, and lists the groups") {
  const std::vector<std::string> groups{"conv1", "layer1", "fc"};
  const thaw::AnyFreezePolicy policy = thaw::FreezeWhere{"leyer1"};
  CHECK_THROWS_AS(policy.check(groups), thaw::ConfigError);
  CHECK_THROWS_WITH(policy.check(groups), ContainsSubstring("did you mean \"layer1\"?") &&
                                              ContainsSubstring("conv1, layer1, fc") && ContainsSubstring("leyer1"));
  CHECK_THROWS_AS(thaw::FreezeWhere{}.check(groups), thaw::ConfigError);
  CHECK_NOTHROW(thaw::FreezeWhere{"f*"}.check(groups));
}

TEST_CASE("a policy's own check sees how many groups there are, or their names; no check is fine") {
  struct Counts {
    bool operator()(const thaw::GroupRef&, const thaw::Progress&) const { return false; }
    void check(std::size_t groups) const { throw thaw::ConfigError("Counts", std::to_string(groups), "none"); }
  };
  struct Reads {
    bool operator()(const thaw::GroupRef&, const thaw::Progress&) const { return false; }
    void check(std::span<const std::string> groups) const {
      throw thaw::ConfigError("Reads", thaw::join_names(groups), "none");
    }
  };
  CHECK_THROWS_WITH(thaw::AnyFreezePolicy(Counts{}).check(names(3)), ContainsSubstring("Counts: 3"));
  CHECK_THROWS_WITH(thaw::AnyFreezePolicy(Reads{}).check(names(3)), ContainsSubstring("Reads: g0, g1, g2"));
  CHECK_THROWS_AS(thaw::AnyFreezePolicy(thaw::FreezeTo{5}).check(names(3)), thaw::ConfigError);
  CHECK_NOTHROW(thaw::AnyFreezePolicy(thaw::Unfrozen{}).check(names(3)));
  CHECK_NOTHROW(thaw::AnyFreezePolicy{}.check(names(3)));
}

TEST_CASE("a group of which nothing is said is the only one") {
  CHECK(thaw::GroupRef{}.index == 0);
  CHECK(thaw::GroupRef{}.count == 1);
}

TEST_CASE("an empty policy says so") {
  CHECK_FALSE(thaw::AnyFreezePolicy{});
  CHECK(thaw::AnyFreezePolicy{thaw::Unfrozen{}});
}
