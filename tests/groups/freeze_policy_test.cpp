#include <thaw/groups/freeze_policy.hpp>

#include <catch2/catch_test_macros.hpp>
#include <vector>

namespace {

std::vector<bool> frozen(const thaw::AnyFreezePolicy& policy, std::size_t count) {
  std::vector<bool> result;
  for (std::size_t i = 0; i < count; ++i) result.push_back(policy({.index = i, .count = count, .name = "g"}, {}));
  return result;
}

}  // namespace

TEST_CASE("FreezeTo freezes the first n groups; negative numbers count from the end") {
  CHECK(frozen(thaw::FreezeTo{0}, 3) == std::vector{false, false, false});
  CHECK(frozen(thaw::FreezeTo{2}, 3) == std::vector{true, true, false});
  CHECK(frozen(thaw::FreezeTo{-1}, 3) == std::vector{true, true, false});
  CHECK(frozen(thaw::FreezeTo{-2}, 3) == std::vector{true, false, false});
  CHECK(frozen(thaw::Unfrozen{}, 2) == std::vector{false, false});
}

TEST_CASE("FreezeTo refuses what would freeze nothing, or everything, in silence") {
  CHECK_THROWS_AS(thaw::FreezeTo{-1}.check(1), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::FreezeTo{3}.check(3), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::FreezeTo{5}.check(3), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::FreezeTo{-4}.check(3), thaw::ConfigError);
  CHECK_NOTHROW(thaw::FreezeTo{0}.check(1));
  CHECK_NOTHROW(thaw::FreezeTo{-3}.check(3));
}

TEST_CASE("a lambda is a freeze policy, and sees names and progress") {
  const thaw::AnyFreezePolicy policy = [](const thaw::GroupRef& group, const thaw::Progress& at) {
    return group.name == "stem" && at.epoch() < 2;
  };
  CHECK(policy({.index = 0, .count = 2, .name = "stem"}, {.step = 1}));
  CHECK_FALSE(policy({.index = 0, .count = 2, .name = "stem"}, {.step = 2}));
  CHECK_FALSE(policy({.index = 1, .count = 2, .name = "head"}, {.step = 1}));
  STATIC_CHECK(thaw::FreezePolicy<thaw::FreezeTo>);
  STATIC_CHECK_FALSE(thaw::FreezePolicy<int>);
}

TEST_CASE("an empty policy says so") {
  CHECK_FALSE(thaw::AnyFreezePolicy{});
  CHECK(thaw::AnyFreezePolicy{thaw::Unfrozen{}});
}
